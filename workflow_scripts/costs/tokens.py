"""Tokens counted without an engine: by a model's own tokenizer, or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..config.schema import BackendSettings, Block
from ..errors import UserError
from ..records import Message

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 3
_PER_REPLY = 3
"""What a chat template adds; the numbers that OpenAI's cookbook gives for its own."""


class TokenizerFile(Block):
    """A GGUF file or tokenizer.json, if there is one, and whether it is the model's own."""

    path: str | None
    is_own: bool


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


class GgufCounter:
    """The tokenizer and chat template of a GGUF file, by llama.cpp.

    Args:
        model: the file; its weights are not loaded.
        exact: whether it is the file of the model that answers.
    """

    def __init__(self, model: Path, *, exact: bool) -> None:
        from ..infer.llama_cpp_client import ChatTokenizer

        self.method = f"counted by the tokenizer of {model.name}"
        self.exact = exact
        self._tokenizer = ChatTokenizer.of(model)

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt; of one that the model's template refuses, of its texts."""
        from ..infer.client import RequestError

        try:
            return len(self._tokenizer.tokens(messages))
        except RequestError:
            return sum(self.text(each.content) for each in messages)

    def text(self, text: str) -> int:
        """Tokens of a text by itself."""
        return self._tokenizer.length(text)


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
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def tokenizer_of(settings: BackendSettings) -> TokenizerFile:
    """The file that a backend's prompts are counted with: the configured one or its own, if any."""
    if settings.tokenizer is not None:
        return TokenizerFile(path=settings.tokenizer, is_own=False)
    if settings.engine == "llama_cpp":
        return TokenizerFile(path=settings.model, is_own=True)
    return TokenizerFile(path=None, is_own=False)


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
    return GgufCounter(path, exact=tokenizer.is_own)
