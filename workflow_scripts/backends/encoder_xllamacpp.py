"""Vectors by xllamacpp: llama.cpp's own server within this process, asked as for answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xllamacpp

from .binding_xllamacpp import LoadedModel
from .client import RequestError
from .llama_cpp_binding import LoadOptions


class XllamacppEncoder(LoadedModel):
    """A server with one slot, and its model."""

    def _parameters(self, path: Path, options: LoadOptions) -> xllamacpp.CommonParams:
        found = super()._parameters(path, options)
        found.embedding = True
        # Flash attention would round keys to 16 bits.
        found.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        # An encoder sees a text at once.
        found.n_batch = found.n_ubatch = options.n_ctx
        return found

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that the model puts around it."""
        reply = self._post("tokenize", content=text, add_special=True, parse_special=False)
        tokens: list[int] = reply["tokens"]
        return tokens

    def vector(self, tokens: Sequence[int]) -> Sequence[float]:
        """Return the pooled vector of a text."""
        reply = self._post("v1/embeddings", input=list(tokens), encoding_format="float")
        try:
            found: Sequence[float] = reply["data"][0]["embedding"]
        except (KeyError, IndexError, TypeError) as error:
            raise RequestError(f"llama.cpp: no vector in {reply}", retryable=False) from error
        return found
