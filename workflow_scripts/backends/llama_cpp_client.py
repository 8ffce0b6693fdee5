"""llama.cpp in this process: any GGUF chat model, on CPU or GPU, by the binding of the config."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.checksum import file_sha256
from ..core.records import Completion, Decoding, Message, Usage
from ..schemas.dialects import LLGUIDANCE
from .client import RequestError
from .gguf_chat import (
    THOUGHTS_BEGIN,
    THOUGHTS_END,
    ChatTokenizer,
    chat_template,
    check_reasoning,
)
from .gguf_context import Setting, fitted, free_memory
from .gguf_file import GgufFile, read_gguf
from .llama_cpp import BATCHING
from .llama_cpp_binding import GPU_BUILD, Binding, Generated, LoadOptions, Model, binding
from .llama_cpp_sizing import explanation, most_at_once, sized
from .reuse import Reuse
from .settings import BackendSettings

log = logging.getLogger(__name__)

_WAITING_EACH = 64
"""Requests in flight for each answer that is made."""


class LlamaCppClient:
    """Answers chats with a GGUF model."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._path = Path(settings.model)
        self._loaded: Model | None = None

    @property
    def max_concurrent(self) -> int:
        """Requests that it can make use of: more than are answered at once, to put in order."""
        if not self._makes_many:
            return 1
        most = most_at_once(self._settings.n_sequences, self._settings.n_gpu_layers)
        return most * _WAITING_EACH

    @property
    def _makes_many(self) -> bool:
        return self._settings.local_binding in BATCHING

    @property
    def context_length(self) -> int:
        """Longest prompt with its answer, in tokens."""
        return self._fit.n_ctx  # llama.cpp rounds it up; what was asked for holds

    @functools.cached_property
    def _binding(self) -> Binding:
        return binding(self._settings.local_binding)

    @functools.cached_property
    def _file(self) -> GgufFile:
        """What the file says; it is a chat model."""
        file = read_gguf(self._path)
        chat_template(file)
        return file

    @functools.cached_property
    def _fit(self) -> Setting:
        """How the model is loaded. Only where it may differ from the config is anything looked at:
        journaled answers need neither the file nor memory.
        """
        wanted = Setting(self._settings.n_ctx, self._settings.n_gpu_layers)
        return self._fitted(wanted) if self._settings.auto_fit else wanted

    def _fitted(self, wanted: Setting) -> Setting:
        fit = fitted(self._file, wanted, free_memory(), auto_fit=self._settings.auto_fit)
        if fit != wanted:
            log.warning("%s does not fit into free memory; auto_fit takes %s", wanted, fit)
        return fit

    @property
    def _model(self) -> Model:
        """The model, loaded for the first chat: a part may have no request left to ask."""
        if self._loaded is None:
            setting = self._fit if self._settings.auto_fit else self._fitted(self._fit)
            options = self._options(setting)
            self._loaded = self._binding.load(self._file.path, options)
        return self._loaded

    def _options(self, setting: Setting) -> LoadOptions:
        if not self._makes_many:
            return LoadOptions(setting.n_ctx, setting.n_gpu_layers, self._settings.n_threads)
        options = sized(self._file, setting, self._settings, free_memory())
        log.info("%s: %s", self._path.as_posix(), explanation(options, self._settings))
        return options

    @functools.cached_property
    def _tokenizer(self) -> ChatTokenizer:
        return ChatTokenizer(self._file, self._model)

    @functools.cached_property
    def _served_by(self) -> dict[str, str]:
        return dict(self._binding.served_by())

    @functools.cached_property
    def _model_digest(self) -> str:
        return file_sha256(self._path)

    async def open(self) -> None:
        """Nothing to find out: the file's checksum says who answers."""

    async def check(self) -> str:
        """See that the binding is there, and that the file is a chat model for ``n_ctx``."""
        library = self._binding
        for reasoning in self._settings.reasonings:
            check_reasoning(self._file, reasoning)
        wanted = Setting(self._settings.n_ctx, self._settings.n_gpu_layers)
        fit = self._fitted(wanted)
        size = self._file.path.stat().st_size
        found = f"{self._path.as_posix()}: a GGUF chat model ({size / 1e6:.1f} MB)"
        if fit != wanted:
            found += f"; of it fits {fit}"
        if fit.n_gpu_layers and not library.finds_gpu():
            found += (
                f"; warning: it runs on the CPU, because this build of "
                f"{self._settings.local_binding} finds no GPU. {GPU_BUILD}, or set n_gpu_layers: 0"
            )
        return found

    async def close(self) -> None:
        """Give the model's memory back."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
            del self._tokenizer

    def identity(self) -> Mapping[str, str]:
        """The engine and the checksum of the GGUF file, which need not be loaded for it.

        Not the binding: what one has answered is not asked of the other again.
        """
        return {"engine": "llama_cpp", "model_sha256": self._model_digest}

    def reuse(self) -> Reuse:
        """Journaled answers count while they fit into ``n_ctx``."""
        return Reuse(context_length=self.context_length)

    async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat."""
        prompt = self._tokenizer.tokens(messages, decoding.reasoning)
        if len(prompt) + decoding.most_tokens > self.context_length:
            thoughts = f"; thoughts may take {decoding.room} more" if decoding.room else ""
            raise RequestError(
                f"the prompt's {len(prompt)} tokens and max_new_tokens={decoding.max_new_tokens} "
                f"do not fit into n_ctx={self.context_length}{thoughts}",
                retryable=False,
            )
        thought = await self._thoughts(prompt, messages, decoding) if decoding.room else None
        behind = thought[1] if thought else []
        asked = self._model.submit(prompt + behind, _translated(decoding))
        answer = await asyncio.wrap_future(asked)
        made = answer.tokens + len(behind)
        return Completion(
            response_text=answer.text.lstrip() if thought else answer.text,
            finish_reason=answer.finish_reason,
            request_id=self._request_id(prompt, decoding),
            usage=Usage(
                prompt_tokens=len(prompt),
                completion_tokens=made,
                total_tokens=len(prompt) + made,
                thought_tokens=len(behind) if thought else None,
                first_token_s=round((thought[2] if thought else answer).first_token_s, 6),
            ),
            latency_s=round(answer.seconds + (thought[2].seconds if thought else 0.0), 6),
            at_once=answer.at_once,
            served_by=self._served_by,
            thoughts=thought[0] if thought else None,
            logprobs=answer.logprobs,
        )

    async def _thoughts(
        self, prompt: list[int], messages: Sequence[Message], decoding: Decoding
    ) -> tuple[str, list[int], Generated] | None:
        """Let the model think; return its thoughts and the tokens that the answer follows.

        Thoughts have a limit of their own, and stop texts do not end them; where the limit is
        reached they are ended for the model. None: it does not think.
        """
        alone = {
            "max_new_tokens": decoding.room,
            "stop": [THOUGHTS_END],
            "json_schema": None,
            "logprobs": False,
        }
        asked = self._model.submit(prompt, decoding.model_copy(update=alone))
        made = await asyncio.wrap_future(asked)
        opened = self._tokenizer.opens_thoughts(messages, decoding.reasoning)
        if not opened and not made.text.lstrip().startswith(THOUGHTS_BEGIN):
            return None
        written = f"{made.text}{THOUGHTS_END}\n\n"
        tokens = self._model.tokenize(written, special=True)
        return made.text.strip().removeprefix(THOUGHTS_BEGIN).strip(), tokens, made

    def _request_id(self, prompt: list[int], decoding: Decoding) -> str:
        """There is no server to name the request, so its content does, the same in every run."""
        asked = f"{self._model_digest}|{prompt}|{decoding.model_dump_json()}"
        return f"llama_cpp-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"


def _translated(decoding: Decoding) -> Decoding:
    if decoding.json_schema is None:
        return decoding
    return decoding.model_copy(update={"json_schema": LLGUIDANCE.sent(decoding.json_schema).schema})
