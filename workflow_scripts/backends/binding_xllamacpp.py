"""llama.cpp by xllamacpp, which has wheels: nothing is compiled.

The library is llama.cpp's own server within this process. It tokenizes by HTTP alone, and says by
HTTP alone why an answer ended. So it is asked over the loopback interface, at a free port, with a
key that nobody else has.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xllamacpp

from ..core.records import Decoding, Logprobs
from ..schemas.dialect import Schema
from .client import RequestError
from .llama_cpp_binding import PREFIX_BLOCK, Generated, LoadOptions, build, cannot_load
from .logprobs import TokenLogprob, of_answer

if TYPE_CHECKING:
    from .constraint import Grammars

_ALL_LAYERS = 100_000
"""More than any model has. A negative number leaves the choice to llama.cpp."""

_ERRORS_ALONE = 1
"""How much llama.cpp writes to standard error."""

_NO_TOKEN = -1
"""Between texts: the server passes numbers on as they are."""

_SAMPLERS = ("top_k", "top_p", "min_p", "temperature")
"""Those that a request can turn on. llama.cpp's own list has repetition penalties and others."""


class Xllamacpp:
    """The library."""

    def served_by(self) -> Mapping[str, str]:
        """Return what answers. The last part of the version is llama.cpp's build number."""
        version = xllamacpp.__version__
        return {
            "server": "xllamacpp",
            "version": version,
            "build": build(f"b{version.rsplit('.', 1)[-1]}", xllamacpp.get_system_info()),
        }

    def finds_gpu(self) -> bool:
        """Return whether llama.cpp lists a GPU among its devices."""
        kinds = xllamacpp.ggml_backend_dev_type
        gpus = (kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU)
        return any(device["type"] in gpus for device in xllamacpp.get_device_info())

    def load(self, path: Path, options: LoadOptions) -> LoadedModel:
        """Load a model."""
        return LoadedModel(path, options)

    def load_tokenizer(self, path: Path) -> LoadedModel:
        """Map the file into memory; llama.cpp's server does not start without the weights."""
        return LoadedModel(path, LoadOptions(n_ctx=PREFIX_BLOCK, n_threads=1))


class LoadedModel:
    """A server with one slot and its model.

    Args:
        path: the GGUF file.
        options: how it is loaded.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self._key = secrets.token_hex()
        self._last: list[int] = []  # the prompt that lies evaluated in the slot
        self._can_forget = True
        self._thread = ThreadPoolExecutor(1)
        try:
            self._server = xllamacpp.Server(self._parameters(path, options))
        except RuntimeError as error:
            raise cannot_load(path, "its own message is above") from error
        self._port = int(self._server.listening_address.rsplit(":", 1)[1])
        # A server that is closed before its loop has begun never ends. This answer comes from it.
        self._ask("GET", "slots", None)

    def _parameters(self, path: Path, options: LoadOptions) -> xllamacpp.CommonParams:
        found = xllamacpp.CommonParams()
        found.model.path = str(path)
        found.api_keys = [self._key]
        found.n_ctx = options.n_ctx
        found.n_batch = found.n_ubatch = PREFIX_BLOCK
        found.n_gpu_layers = options.n_gpu_layers if options.n_gpu_layers >= 0 else _ALL_LAYERS
        found.cpuparams.n_threads = found.cpuparams_batch.n_threads = options.threads
        found.n_parallel = 1
        found.n_threads_http = 2
        found.verbosity = _ERRORS_ALONE
        # What is asked for holds: no context or layers of its own choice, nothing kept from
        # earlier prompts but what `_keep_whole_blocks` means to keep.
        found.fit_params = found.ctx_shift = found.warmup = False
        found.n_ctx_checkpoints = found.cache_ram_mib = 0
        return found

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text."""
        reply = self._post("tokenize", content=text, add_special=False, parse_special=special)
        tokens: list[int] = reply["tokens"]
        return tokens

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has by itself; one request for all."""
        content = [part for text in texts for part in (text, _NO_TOKEN)]
        reply = self._post("tokenize", content=content, add_special=False, parse_special=False)
        ends = [at for at, token in enumerate(reply["tokens"]) if token == _NO_TOKEN]
        return [end - before - 1 for before, end in itertools.pairwise([-1, *ends])]

    def submit(self, prompt: list[int], decoding: Decoding) -> Future[Generated]:
        """Return the future answer to a prompt."""
        return self._thread.submit(self._generated, prompt, decoding)

    def _generated(self, prompt: list[int], decoding: Decoding) -> Generated:
        """Answer a prompt; the evaluated blocks that it shares with the last one are reused."""
        started = time.perf_counter()
        kept = self._keep_whole_blocks(prompt)
        keeping_s = time.perf_counter() - started
        schema = decoding.json_schema
        further: dict[str, Any] = {} if schema is None else _grammar(schema)
        if decoding.logprobs:
            further["n_probs"] = 1
        reply = self._post(
            "completion",
            prompt=prompt,
            cache_prompt=kept > 0,
            n_predict=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_p=1.0 if decoding.top_p is None else decoding.top_p,
            top_k=0 if decoding.top_k is None else decoding.top_k,
            min_p=0.0,
            samplers=_SAMPLERS,
            seed=decoding.seed,
            stop=decoding.stop,
            **further,
        )
        self._last = prompt
        # A model with a sliding window forgets all or nothing, and is evaluated from the start.
        self._can_forget = self._can_forget and reply["timings"]["cache_n"] == kept
        ended = reply["stop_type"] == "eos"
        is_cut = reply["stop_type"] == "limit"
        if decoding.json_schema is not None:
            is_done = self._obeys(reply["content"], decoding.json_schema, whole=ended)
            is_cut = is_cut and not is_done
        return Generated(
            text=reply["content"],
            finish_reason="length" if is_cut else "stop",
            tokens=reply["tokens_predicted"] - ended,
            logprobs=_logprobs(reply),
            first_token_s=keeping_s + reply["timings"]["prompt_ms"] / 1e3,
            seconds=time.perf_counter() - started,
        )

    def _obeys(self, text: str, schema: Schema, *, whole: bool) -> bool:
        """See that an answer obeys its schema: llama.cpp drops one that becomes too complex.

        Returns:
            Whether the answer is complete.

        Raises:
            RequestError: it breaks the schema.
        """
        constraint = _grammars().begin(schema)
        for byte in text.encode("utf-8"):
            constraint.accept(byte)
        if whole and not constraint.is_complete:
            raise RequestError("llama.cpp: the answer breaks its JSON schema", retryable=False)
        return constraint.is_done

    def _keep_whole_blocks(self, prompt: list[int]) -> int:
        """Forget what lies evaluated beyond the last whole block shared with a prompt.

        The server reuses the whole prefix that two prompts share, and forgets the rest. So it is
        asked for the blocks with a token behind them that follows them in neither.

        Returns:
            The number of tokens that are kept.
        """
        known, wanted = self._last[:-1], prompt[:-1]
        pairs = zip(known, wanted, strict=False)
        shared = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
        if shared is None:
            shared = min(len(known), len(wanted))
        kept = shared - shared % PREFIX_BLOCK
        if not kept or not self._can_forget:
            return 0
        other = next(token for token in range(3) if token not in (self._last[kept], prompt[kept]))
        self._post("completion", prompt=[*prompt[:kept], other], cache_prompt=True, n_predict=0)
        return kept

    def _post(self, path: str, **body: Any) -> Any:
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        """Ask the server. A connection serves one request: kept ones are closed after a while.

        Raises:
            RequestError: it refused, or broke down.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"/{path}", body, headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestError(f"llama.cpp: {error}", retryable=True) from error
        finally:
            connection.close()
        if reply.status != http.client.OK:
            problem = answer.get("error", {}).get("message", answer)
            raise RequestError(f"llama.cpp: {problem}", retryable=True)
        return answer

    def close(self) -> None:
        """Stop the server and give the model's memory back."""
        self._thread.shutdown()
        del self._server


def _logprobs(reply: Any) -> Logprobs | None:
    """Return how likely the answer's tokens were, where that was asked."""
    listed = reply.get("completion_probabilities") or ()
    tokens = [TokenLogprob.model_validate(each).read() for each in listed]
    return of_answer(tokens, reply["content"], thinks=False)


def _grammar(schema: Schema) -> dict[str, str]:
    from ..schemas.llguidance import grammar  # few requests need it

    return {"grammar": grammar(schema)}


@functools.cache
def _grammars() -> Grammars:
    """Return the schemas compiled for texts: the library does not show its vocabulary."""
    from ..schemas.llguidance import byte_tokenizer
    from .constraint import Grammars

    return Grammars(byte_tokenizer())
