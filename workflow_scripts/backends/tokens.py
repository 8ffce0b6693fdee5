"""Tokens counted without an engine: by a model's own tokenizer, or estimated."""

from __future__ import annotations

import bisect
import collections
import functools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.block import Block
from ..core.errors import UserError
from ..core.records import Message
from .llama_cpp import BindingName
from .settings import BackendSettings

if TYPE_CHECKING:
    from .gguf_chat import ChatTokenizer

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 3
_PER_REPLY = 3
"""What a chat template adds; the numbers that OpenAI's cookbook gives for its own."""

Kinds = dict[str, float]
"""How much there is of each kind of text: bytes or tokens, messages, requests."""

_WORD = re.compile(r"(?<![A-Za-z0-9_])[A-Z]?[a-z]+(?![A-Za-z0-9_])")
"""A word of prose. Other letters (`camelCase`, `BASE64`) take more tokens."""

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
_SPACES = b" \t\n\r"

_SCRIPTS = (
    (0x80, "latin"), (0x370, "greek"), (0x400, "cyrillic"), (0x590, "hebrew"), (0x600, "arabic"),
    (0x700, "other"), (0x900, "indic"), (0xE00, "thai"), (0x10A0, "other"), (0x1E00, "latin"),
    (0x1F00, "greek"), (0x2000, "signs"), (0x2E80, "han"), (0x3040, "kana"), (0x3100, "han"),
    (0xA000, "other"), (0xAC00, "hangul"), (0xD800, "other"), (0xF900, "han"), (0xFB00, "other"),
    (0xFF00, "han"), (0x10000, "other"), (0x1F000, "emoji"), (0x20000, "han"),
)  # fmt: skip
"""Where the blocks of scripts begin that tokenizers treat alike (Unicode, Blocks.txt, in short)."""


_STARTS = [start for start, _ in _SCRIPTS]


class TokenizerFile(Block):
    """A GGUF file or tokenizer.json, if there is one, and whether it is the model's own.

    ``binding`` is the library of llama.cpp that counts by a GGUF file.
    """

    path: str | None
    is_own: bool
    binding: BindingName = "xllamacpp"


class Counter(Protocol):
    """Counts the tokens of chats and of texts."""

    method: str
    """How it counts, in words."""

    exact: bool
    """Whether it counts as the model itself does."""

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt, with those of the chat template."""
        ...

    def text(self, text: str) -> int:
        """Tokens of a text by itself."""
        ...

    def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself; faster than one by one."""
        ...

    def sizes(self, messages: Sequence[Message]) -> Kinds:
        """What a prompt's real number of tokens follows from; see `costs.bounds`."""
        ...


class BytesCounter:
    """An estimate for any model: four bytes of UTF-8 are about one token of English text."""

    method = f"estimated as {_BYTES_PER_TOKEN} bytes of text a token"
    exact = False

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt."""
        return sum(self.text(each.content) + _PER_MESSAGE for each in messages) + _PER_REPLY

    def text(self, text: str) -> int:
        """Tokens of a text by itself."""
        return -(-len(text.encode("utf-8")) // _BYTES_PER_TOKEN)

    def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return [self.text(each) for each in texts]

    def sizes(self, messages: Sequence[Message]) -> Kinds:
        """Bytes of each kind of text, with the number of messages."""
        found: Kinds = {"message": len(messages), "request": 1}
        for each in messages:
            found = added(found, text_sizes(each.content))
        return found


class GgufCounter:
    """The tokenizer and chat template of a GGUF file, by llama.cpp.

    Args:
        model: the file.
        library: the library of llama.cpp.
        exact: whether it is the file of the model that answers.
    """

    def __init__(self, model: Path, library: BindingName, *, exact: bool) -> None:
        from .llama_cpp_binding import binding

        self.method = f"counted by the tokenizer of {model.name}"
        self.exact = exact
        self._model = model
        self._tokenizer = binding(library).load_tokenizer(model)

    @functools.cached_property
    def _chats(self) -> ChatTokenizer:
        """The tokenizer of chats; encoders have no chat template."""
        from .gguf_chat import ChatTokenizer
        from .gguf_file import read_gguf

        return ChatTokenizer(read_gguf(self._model), self._tokenizer)

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt; of one that the model's template refuses, of its texts."""
        from .client import RequestError

        try:
            return len(self._chats.tokens(messages))
        except RequestError:
            return sum(self.text(each.content) for each in messages)

    def text(self, text: str) -> int:
        """Tokens of a text by itself."""
        return self.texts([text])[0]

    def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return self._tokenizer.lengths(texts)

    def sizes(self, messages: Sequence[Message]) -> Kinds:
        """Tokens of the whole prompt; where the file is not the model's, with the messages."""
        found: Kinds = {"token": self.prompt(messages)}
        return found if self.exact else {**found, "message": len(messages), "request": 1}


class TokenizersCounter:
    """A tokenizer.json, by the library `tokenizers`; what the chat template adds is estimated.

    Args:
        file: the tokenizer.json.
    """

    exact = False

    def __init__(self, file: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise UserError(
                f"{file.as_posix()} needs the library tokenizers: pip install tokenizers. Or give "
                "a GGUF file as tokenizer, or none: then tokens are estimated."
            ) from error
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"{file.as_posix()}: not a tokenizer.json ({error})") from error
        self.method = f"counted by the tokenizer of {file.name}, its chat template estimated"

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt."""
        return sum(self.text(each.content) + _PER_MESSAGE for each in messages) + _PER_REPLY

    def text(self, text: str) -> int:
        """Tokens of a text by itself."""
        return self.texts([text])[0]

    def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(each.ids) for each in found]

    def sizes(self, messages: Sequence[Message]) -> Kinds:
        """Tokens of the texts, with the number of messages."""
        texts = sum(self.text(each.content) for each in messages)
        return {"token": texts, "message": len(messages), "request": 1}


def added(one: Kinds, other: Kinds) -> Kinds:
    """Return the sums, kind by kind."""
    return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in {**one, **other}}


def text_sizes(text: str) -> Kinds:
    """Return how many bytes of UTF-8 a text has of each kind: words, digits, scripts …

    Some tokenizers normalize a text first (NFKC), which can make it longer; then that counts.
    """
    if not text.isascii():
        text = max(text, unicodedata.normalize("NFKC", text), key=lambda each: len(each.encode()))
    data = text.encode()
    words = sum(map(len, _WORD.findall(text)))
    letters, digits, spaces = (
        len(data) - len(data.translate(None, delete=kind)) for kind in (_LETTERS, _DIGITS, _SPACES)
    )
    found: Kinds = {"word": words, "letter": letters - words, "digit": digits, "space": spaces}
    rest = collections.Counter(re.findall(r"[^\x00-\x7f]", text))
    for character, count in rest.items():
        script = _SCRIPTS[bisect.bisect_right(_STARTS, ord(character)) - 1][1]
        found[script] = found.get(script, 0) + count * len(character.encode())
    found["sign"] = len(data) - sum(found.values())
    return {kind: size for kind, size in found.items() if size}


def tokenizer_of(settings: BackendSettings) -> TokenizerFile:
    """The file that a backend's prompts are counted with: the configured one or its own, if any."""
    own = settings.tokenizer is None
    return TokenizerFile(
        path=settings.model_file if own else settings.tokenizer,
        is_own=own and settings.model_file is not None,
        binding=settings.local_binding,
    )


def counter(tokenizer: TokenizerFile) -> Counter:
    """The counter that uses a tokenizer's file, or that estimates where there is none.

    Raises:
        UserError: the file is none that can be used.
    """
    if tokenizer.path is None:
        return BytesCounter()
    path = Path(tokenizer.path)
    if path.suffix == ".json":
        return TokenizersCounter(path)
    return GgufCounter(path, tokenizer.binding, exact=tokenizer.is_own)
