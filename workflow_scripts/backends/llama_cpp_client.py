"""llama.cpp in this process, by llama-cpp-python: any GGUF chat model, on CPU or GPU."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from ..core.checksum import file_sha256
from ..core.errors import UserError
from ..core.records import Completion, Decoding, Message, Usage
from .client import RequestError
from .gguf_context import check_context
from .reuse import Reuse
from .settings import BackendSettings

log = logging.getLogger(__name__)

PREFIX_BLOCK = 64
"""Tokens that are evaluated together, and the unit in which a prompt's prefix is reused.

llama.cpp's results differ in the last bits with the number of tokens evaluated at once. Since
prompts are always cut at multiples of this number, an answer does not depend on which request
came before it: a run that was killed and resumed gives what an undisturbed run gives.
"""


_GGML_ERROR = 4

_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
"""Tokens that llama.cpp makes of their text only where it is told to."""

_PRIVATE_USE = range(0xE000, 0xF900)
"""Characters without a meaning (Unicode, private use area)."""


_reported: list[str] = []
"""What llama.cpp has reported as errors since the last model was loaded."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # of a library without types
def _log_errors(level: int, text: bytes, user_data: Any) -> None:
    """llama-cpp-python's own callback takes llama.cpp's warnings for errors and hides these."""
    if level == _GGML_ERROR:
        message = text.decode("utf-8", errors="replace").strip()
        _reported.append(message)
        log.warning("llama.cpp: %s", message)


llama_cpp.llama_log_set(_log_errors, None)


class ChatTokenizer:
    """Turns chats into the tokens of one GGUF model, by the model's own chat template.

    Only the template's own control tokens (the markers of turns) become control tokens. In the
    text of a message they are ordinary text: no item can end its turn.
    """

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

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of the GGUF file."""
        metadata: Mapping[str, str] = self._llama.metadata
        return metadata

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The whole prompt as token ids, ready for the assistant's turn.

        Raises:
            RequestError: the model's template refuses the chat (some know no system role).
        """
        # Control texts in messages are hidden from the template behind a character that no
        # message has, so that those in the rendered prompt are the template's.
        mark = _unused_character(messages)
        hidden: list[str] = []

        def hide(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"{mark}{len(hidden) - 1}{mark}"

        chat: Any = [
            {"role": each.role, "content": self._control.sub(hide, each.content)}
            for each in messages
        ]
        try:
            rendered = self._formatter(messages=chat)
        except Exception as error:  # a template may raise anything it likes
            raise RequestError(f"the chat template refused: {error}", retryable=False) from error
        add_bos = not rendered.added_special
        tokens: list[int] = []
        for text, is_template in self._pieces(rendered.prompt, mark, hidden):
            tokens += self._llama.tokenize(
                text.encode("utf-8"), add_bos=add_bos, special=is_template
            )
            add_bos = False
        return tokens

    def _pieces(self, prompt: str, mark: str, hidden: list[str]) -> Iterator[tuple[str, bool]]:
        """Cut a prompt where hidden texts come back; yield whether control tokens are tokens.

        llama.cpp itself tokenizes what stands between two control tokens alone, so a cut there
        changes no token. A prompt without hidden texts is one piece.
        """
        together = ""
        for text in self._control.split(prompt) if hidden else [prompt]:
            if not hidden or mark not in text:
                together += text
                continue
            if together:
                yield together, True
            together = ""
            yield re.sub(f"{mark}(\\d+){mark}", lambda found: hidden[int(found[1])], text), False
        if together:
            yield together, True

    @functools.cached_property
    def _control(self) -> re.Pattern[str]:
        """The texts of all control tokens, as one group; the longest that fits is found."""
        vocab = self._llama._model.vocab
        texts = {
            self._token_text(token)
            for token in range(self._llama.n_vocab())
            if llama_cpp.llama_vocab_get_attr(vocab, token) & _CONTROL
        } - {""}
        ordered = sorted(texts, key=len, reverse=True)
        return re.compile("(" + ("|".join(map(re.escape, ordered)) or "(?!)") + ")")

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

    @property
    def context_length(self) -> int:
        """Longest prompt with its answer, in tokens."""
        return self._n_ctx

    @functools.cached_property
    def _llama(self) -> llama_cpp.Llama:
        """The model, loaded for the first chat: a part may have no request left to ask."""
        self._check_context(ChatTokenizer.of(self._model))
        return _load(
            self._model,
            n_ctx=self._n_ctx,
            n_gpu_layers=self._settings.n_gpu_layers,
            n_batch=PREFIX_BLOCK,
            n_threads=self._settings.n_threads,
            n_threads_batch=self._settings.n_threads,
        )

    def _check_context(self, tokenizer: ChatTokenizer) -> None:
        in_memory = self._settings.n_gpu_layers == 0
        check_context(self._model, tokenizer.metadata, self._n_ctx, in_memory=in_memory)

    @functools.cached_property
    def _tokenizer(self) -> ChatTokenizer:
        return ChatTokenizer(self._llama)

    @functools.cached_property
    def _model_digest(self) -> str:
        return file_sha256(self._model)

    async def open(self) -> None:
        """Nothing to find out: the file's checksum says who answers."""

    async def check(self) -> str:
        """See that the file is a chat model which can do with ``n_ctx``."""
        self._check_context(ChatTokenizer.of(self._model))
        size = self._model.stat().st_size
        return f"{self._model.as_posix()}: a GGUF chat model ({size / 1e6:.1f} MB)"

    async def close(self) -> None:
        """Nothing: the model's memory goes with the client."""

    def identity(self) -> Mapping[str, str]:
        """The engine and the checksum of the GGUF file, which need not be loaded for it."""
        return {"engine": "llama_cpp", "model_sha256": self._model_digest}

    def reuse(self) -> Reuse:
        """Journaled answers count while they fit into ``n_ctx``."""
        return Reuse(context_length=self._n_ctx)

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
            text, finish_reason, made = self._decoded(tokens, decoding)
        except (RuntimeError, ValueError) as error:
            raise RequestError(f"llama.cpp: {error}", retryable=True) from error
        return Completion(
            response_text=text,
            finish_reason=finish_reason,
            request_id=self._request_id(tokens, decoding),
            usage=Usage(
                prompt_tokens=len(tokens),
                completion_tokens=made,
                total_tokens=len(tokens) + made,
            ),
            latency_s=round(time.perf_counter() - started, 6),
            served_by={"server": "llama-cpp-python", "version": llama_cpp.__version__},
        )

    def _decoded(self, prompt: list[int], decoding: Decoding) -> tuple[str, str, int]:
        """The answer's text, why it ended, and its tokens (without the one that ends it).

        llama-cpp-python's own loop cuts at the first text of the *list* of stop texts that occurs.
        Here the one that comes first in the answer ends it.
        """
        llama, stops = self._llama, [text.encode("utf-8") for text in decoding.stop]
        llama.set_seed(decoding.seed)
        made: list[int] = []
        generated = llama.generate(
            prompt,
            temp=decoding.temperature,
            top_p=1.0 if decoding.top_p is None else decoding.top_p,
            top_k=0 if decoding.top_k is None else decoding.top_k,
            min_p=0.0,
            repeat_penalty=1.0,
        )
        end = None
        for token in generated:
            if llama_cpp.llama_vocab_is_eog(llama._model.vocab, token):
                break
            made.append(token)
            if stops:
                text = llama.detokenize(made, prev_tokens=prompt)
                end = min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
            if end is not None or len(made) == decoding.max_new_tokens:
                break
        whole = llama.detokenize(made, prev_tokens=prompt)[:end].decode("utf-8", errors="ignore")
        is_cut = end is None and len(made) == decoding.max_new_tokens
        return whole, "length" if is_cut else "stop", len(made)

    def _request_id(self, tokens: list[int], decoding: Decoding) -> str:
        """There is no server to name the request, so its content does, the same in every run."""
        asked = f"{self._model_digest}|{tokens}|{decoding.model_dump_json()}"
        return f"llama_cpp-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"

    def _keep_whole_blocks(self, tokens: list[int]) -> None:
        """Forget what lies evaluated beyond the last whole block shared with ``tokens``."""
        shared = self._llama.longest_token_prefix(self._llama._input_ids.tolist(), tokens[:-1])
        self._llama.n_tokens = shared - shared % PREFIX_BLOCK


def _unused_character(messages: Sequence[Message]) -> str:
    """A character of the private use area that stands in no message."""
    used = {character for each in messages for character in each.content}
    return next(mark for mark in map(chr, _PRIVATE_USE) if mark not in used)


def _load(model: Path, **options: Any) -> llama_cpp.Llama:
    _reported.clear()
    try:
        return llama_cpp.Llama(model_path=str(model), verbose=False, **options)
    except (ValueError, OSError) as error:
        # The first report is the reason. On the terminal llama-cpp-python hides it.
        reason = _reported[0] if _reported else error
        raise UserError(
            f"{model}: llama.cpp cannot load this model ({reason}). "
            "Is it a complete GGUF file, and is there enough memory?"
        ) from error
