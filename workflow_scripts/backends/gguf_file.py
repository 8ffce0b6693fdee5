"""The metadata of a GGUF file, read without llama.cpp and without its weights.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The library `gguf` makes
arrays of every word: a vocabulary of 150,000 words takes it 11 s, and this module 0.3 s.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import UserError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
"""How `struct` calls the types of numbers."""

_STRING = 8
_ARRAY = 9

_SKIPPED = ("tokenizer.ggml.merges", "tokenizer.ggml.scores")
"""Long arrays that nobody asks for."""

_SPECIAL_IDS = {"llama": {"bos": 1, "eos": 2}}
"""Ids that a kind of vocabulary has where the file names none (llama.cpp, `llama-vocab.cpp`)."""


@dataclass(frozen=True)
class GgufFile:
    """What a GGUF file says about its model.

    Attributes:
        path: the file.
        metadata: its key-value pairs, without long arrays that nobody asks for.
        tensors: the bytes of each tensor by its name, with the padding behind it.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, int] = field(default_factory=dict)

    def number(self, key: str) -> int | None:
        """Return a whole number of the model's architecture, such as ``context_length``."""
        value = self._of_architecture(key)
        return value if isinstance(value, int) else None

    def numbers(self, key: str, layers: int) -> list[int] | None:
        """Return a number of each layer: the file has one for all, or one for each."""
        value = self._of_architecture(key)
        if isinstance(value, int):
            return [value] * layers
        return value if isinstance(value, list) and len(value) == layers else None

    def _of_architecture(self, key: str) -> Any:
        return self.metadata.get(f"{self.metadata.get('general.architecture')}.{key}")

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that lays out a chat."""
        template = self.metadata.get("tokenizer.chat_template")
        return template if isinstance(template, str) else None

    @property
    def vocabulary(self) -> list[str]:
        """The texts of all tokens."""
        words: list[str] = self.metadata.get("tokenizer.ggml.tokens", [])
        return words

    @property
    def token_types(self) -> list[int]:
        """The type of each token, as `llama_token_type` numbers them; empty if not given."""
        types: list[int] = self.metadata.get("tokenizer.ggml.token_type", [])
        return types

    def special_text(self, name: str) -> str:
        """Return the text of the token ``bos`` or ``eos``; empty if the model has none."""
        kind = self.metadata.get("tokenizer.ggml.model", "")
        default = _SPECIAL_IDS.get(kind, {}).get(name)
        token = self.metadata.get(f"tokenizer.ggml.{name}_token_id", default)
        known = isinstance(token, int) and 0 <= token < len(self.vocabulary)
        return self.vocabulary[token] if known else ""


def read_gguf(path: Path) -> GgufFile:
    """Read the metadata of a GGUF file.

    Raises:
        UserError: it is missing, no GGUF file, or incomplete.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _Reader(data).file(path)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UserError(
            f"{path.as_posix()}: this model cannot be read ({reason}). Is it a complete GGUF file?"
        ) from error


class _Reader:
    """Reads a GGUF file from its beginning."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def file(self, path: Path) -> GgufFile:
        if self._data[:4] != _MAGIC:
            raise ValueError("its first bytes are not GGUF")
        self._at = 4
        version = self._number("<I")
        if version not in _VERSIONS:
            raise ValueError(f"version {version} of the format is not known")
        n_tensors, n_pairs = self._number("<Q"), self._number("<Q")
        metadata = {}
        for _ in range(n_pairs):
            key = self._text()
            value = self._value(self._number("<I"), wanted=key not in _SKIPPED)
            if value is not None:
                metadata[key] = value
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        return GgufFile(path, metadata, self._tensors(n_tensors, alignment))

    def _tensors(self, count: int, alignment: int) -> dict[str, int]:
        """The sizes follow from the offsets: each tensor ends where the next one begins."""
        starts: dict[str, int] = {}
        for _ in range(count):
            name = self._text()
            dimensions = self._number("<I")
            self._skip(8 * dimensions + 4)  # its shape and its type
            starts[name] = self._number("<Q")
        begin = -(-self._at // alignment) * alignment
        end = len(self._data) - begin
        if starts and max(starts.values()) >= end:
            raise ValueError("it ends before its last tensor begins")
        ordered = sorted(starts, key=starts.__getitem__)
        ends = [*(starts[name] for name in ordered[1:]), end]
        return {name: stop - starts[name] for name, stop in zip(ordered, ends, strict=True)}

    def _value(self, kind: int, *, wanted: bool) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            of, count = self._number("<I"), self._number("<Q")
            return self._array(of, count, wanted=wanted)
        return self._number(_scalar(kind))

    def _array(self, kind: int, count: int, *, wanted: bool) -> list[Any] | None:
        if kind in (_STRING, _ARRAY):
            if kind == _STRING and not wanted:
                for _ in range(count):
                    self._skip(self._number("<Q"))
                return None
            return [self._value(kind, wanted=wanted) for _ in range(count)]
        code = f"<{count}{_scalar(kind)[1]}"
        size = struct.calcsize(code)
        begin = self._skip(size)
        return list(struct.unpack_from(code, self._data, begin)) if wanted else None

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack_from(code, self._data, self._skip(struct.calcsize(code)))
        return value

    def _text(self) -> str:
        length = self._number("<Q")
        begin = self._skip(length)
        return self._data[begin : begin + length].decode("utf-8", errors="replace")

    def _skip(self, size: int) -> int:
        """Step over some bytes and return where they begin."""
        begin = self._at
        self._at += size
        if self._at > len(self._data):
            raise ValueError("it ends within its metadata")
        return begin


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"its metadata have a value of the unknown type {kind}")
    return _SCALARS[kind]
