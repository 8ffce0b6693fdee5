"""A GGUF encoder in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from ...backends.gguf_file import read_gguf
from ...backends.llama_cpp_binding import LoadOptions
from ...backends.llama_cpp_encoder import POOLINGS, Encoder, load_encoder
from ...core.checksum import file_sha256
from ...core.errors import UserError
from .embedder import Vectors
from .settings import LlamaCppEmbedderSettings

_LONGEST = 8192
"""Tokens of a text, of models that read more: memory grows with it. ``max_tokens`` allows more."""


class LlamaCppEmbedder:
    """Embeds with a GGUF file, pooled as its metadata say. The model is loaded when it is needed.

    Args:
        settings: of the embedder.
    """

    batch = 16
    new_in_identity = ()

    def __init__(self, settings: LlamaCppEmbedderSettings) -> None:
        self._settings = settings
        self._path = Path(settings.model)
        self._encoder: Encoder | None = None
        self.max_tokens: int | None = settings.max_tokens

    @classmethod
    def of(cls, settings: LlamaCppEmbedderSettings) -> Self:
        """Return the embedder of a config."""
        return cls(settings)

    def open(self) -> None:
        """See that the file is an encoder, and how much it reads.

        Raises:
            UserError: it is none.
        """
        file = read_gguf(self._path)
        if file.number("pooling_type") not in POOLINGS:
            raise UserError(
                f"{self._path.as_posix()}: this model does not say how it makes one vector of a "
                f"text (pooling_type {file.number('pooling_type')}; needed is one of "
                f"{', '.join(POOLINGS.values())}). Use the GGUF file of an embedding model"
            )
        trained = file.number("context_length")
        limits = [each for each in (self._settings.max_tokens, trained) if each is not None]
        self.max_tokens = min(limits) if self._settings.max_tokens else min(*limits, _LONGEST)

    def identity(self) -> Mapping[str, str]:
        """Return what decides the vectors: the content of the file."""
        return {"kind": "llama_cpp", "model": file_sha256(self._path)}

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the model makes of a text, with those around it."""
        return len(self._loaded().tokens(text))

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        """Return the vectors of texts."""
        encoder = self._loaded()
        found = [encoder.vector(encoder.tokens(text)) for text in texts]
        return np.array(found, np.float32), None

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self.open()
            options = LoadOptions(
                n_ctx=self.max_tokens or _LONGEST,
                n_gpu_layers=self._settings.n_gpu_layers,
                n_threads=self._settings.n_threads,
            )
            self._encoder = load_encoder(self._settings.local_binding, self._path, options)
        return self._encoder

    def close(self) -> None:
        """Give the model's memory back."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
