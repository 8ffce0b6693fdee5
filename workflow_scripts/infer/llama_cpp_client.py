"""llama.cpp in this process, by llama-cpp-python: any GGUF chat model, on CPU or GPU."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from ..config.schema import BackendSettings
from ..errors import UserError
from ..records import Completion, Decoding, Message, Usage
from .checksum import file_sha256
from .client import RequestError

log = logging.getLogger(__name__)

PREFIX_BLOCK = 64
"""Tokens that are evaluated together, and the unit in which a prompt's prefix is reused.

llama.cpp's results differ in the last bits with the number of tokens evaluated at once. Since
prompts are always cut at multiples of this number, an answer does not depend on which request
came before it: a run that was killed and resumed gives what an undisturbed run gives.
"""


_GGML_ERROR = 4


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # of a library without types
def _log_errors(level: int, text: bytes, user_data: Any) -> None:
    """llama-cpp-python's own callback takes llama.cpp's warnings for errors and hides these."""
    if level == _GGML_ERROR:
        log.warning("llama.cpp: %s", text.decode("utf-8", errors="replace").strip())


llama_cpp.llama_log_set(_log_errors, None)


class ChatTokenizer:
    """Turns chats into the tokens of one GGUF model, by the model's own chat template."""

    def __init__(self, llama: llama_cpp.Llama) -> None:
        template = llama.metadata.get("tokenizer.chat_template")
        if template is None:
            raise UserError(
                f"{llama.model_path}: this GGUF file has no chat template. "
                "Use an instruction-tuned (chat) model."
            )
        self._llama = llama
        self._formatter = Jinja2ChatFormatter(
            template=template,
            eos_token=self._token_text(llama.token_eos()),
            bos_token=self._token_text(llama.token_bos()),
            stop_token_ids=[llama.token_eos()],
        )

    @classmethod
    def of(cls, model: Path) -> ChatTokenizer:
        """The tokenizer of a GGUF file, without loading its weights."""
        return cls(_load(model, vocab_only=True))

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The whole prompt as token ids, ready for the assistant's turn.

        Raises:
            RequestError: the model's template refuses the chat (some know no system role).
        """
        chat: Any = [message.model_dump() for message in messages]
        try:
            rendered = self._formatter(messages=chat)
        except Exception as error:  # a template may raise anything it likes
            raise RequestError(f"the chat template refused: {error}", retryable=False) from error
        return self._llama.tokenize(
            rendered.prompt.encode("utf-8"), add_bos=not rendered.added_special, special=True
        )

    def length(self, text: str) -> int:
        """The number of tokens of a text by itself."""
        return len(self._llama.tokenize(text.encode("utf-8"), add_bos=False, special=False))

    def _token_text(self, token: int) -> str:
        return self._llama._model.token_get_text(token) if token != -1 else ""


class LlamaCppClient:
    """Answers chats with a GGUF model.

    Decoding parameters that are ``None`` are off (no top-p, no top-k), not llama.cpp's defaults.
    """

    max_concurrent = 1  # one context, one sequence

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._model = Path(settings.model)
        self._n_ctx = settings.n_ctx  # llama.cpp rounds it up; what was asked for holds

    @functools.cached_property
    def _llama(self) -> llama_cpp.Llama:
        """The model, loaded for the first chat: a part may have no request left to ask."""
        return _load(
            self._model,
            n_ctx=self._n_ctx,
            n_gpu_layers=self._settings.n_gpu_layers,
            n_batch=PREFIX_BLOCK,
            n_threads=self._settings.n_threads,
            n_threads_batch=self._settings.n_threads,
        )

    @functools.cached_property
    def _tokenizer(self) -> ChatTokenizer:
        return ChatTokenizer(self._llama)

    @functools.cached_property
    def _model_digest(self) -> str:
        return file_sha256(self._model)

    async def open(self) -> None:
        """Nothing to find out: the file's checksum says who answers."""

    async def check(self) -> str:
        """See that the file is a chat model."""
        ChatTokenizer.of(self._model)
        size = self._model.stat().st_size
        return f"{self._model.as_posix()}: a GGUF chat model ({size / 1e6:.1f} MB)"

    async def close(self) -> None:
        """Nothing: the model's memory goes with the client."""

    def identity(self) -> Mapping[str, str]:
        """The engine and the checksum of the GGUF file, which need not be loaded for it."""
        return {"engine": "llama_cpp", "model_sha256": self._model_digest}

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat; the evaluated prefix that it shares with the last one is reused."""
        return await asyncio.to_thread(self._generate, messages, decoding)

    def _generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        tokens = self._tokenizer.tokens(messages)
        if len(tokens) + decoding.max_new_tokens > self._n_ctx:
            raise RequestError(
                f"the prompt's {len(tokens)} tokens and max_new_tokens={decoding.max_new_tokens} "
                f"do not fit into n_ctx={self._n_ctx}",
                retryable=False,
            )
        started = time.perf_counter()
        self._keep_whole_blocks(tokens)
        try:
            reply: Any = self._llama.create_completion(
                tokens,
                max_tokens=decoding.max_new_tokens,
                temperature=decoding.temperature,
                top_p=1.0 if decoding.top_p is None else decoding.top_p,
                top_k=0 if decoding.top_k is None else decoding.top_k,
                min_p=0.0,
                repeat_penalty=1.0,
                stop=decoding.stop,
                seed=decoding.seed,
            )
        except (RuntimeError, ValueError) as error:
            raise RequestError(f"llama.cpp: {error}", retryable=True) from error
        choice, usage = reply["choices"][0], reply["usage"]
        return Completion(
            response_text=choice["text"],
            finish_reason=choice["finish_reason"],
            request_id=self._request_id(tokens, decoding),
            usage=Usage(
                prompt_tokens=usage["prompt_tokens"],
                completion_tokens=usage["completion_tokens"],
                total_tokens=usage["total_tokens"],
            ),
            latency_s=round(time.perf_counter() - started, 6),
        )

    def _request_id(self, tokens: list[int], decoding: Decoding) -> str:
        """There is no server to name the request, so its content does, the same in every run."""
        asked = f"{self._model_digest}|{tokens}|{decoding.model_dump_json()}"
        return f"llama_cpp-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"

    def _keep_whole_blocks(self, tokens: list[int]) -> None:
        """Forget what lies evaluated beyond the last whole block shared with ``tokens``."""
        shared = self._llama.longest_token_prefix(self._llama._input_ids.tolist(), tokens[:-1])
        self._llama.n_tokens = shared - shared % PREFIX_BLOCK


def _load(model: Path, **options: Any) -> llama_cpp.Llama:
    try:
        return llama_cpp.Llama(model_path=str(model), verbose=False, **options)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{model}: llama.cpp cannot load this model ({error}). "
            "Is it a complete GGUF file, and is there enough memory?"
        ) from error
