"""The seam between embedders and the library that runs llama.cpp: one module each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..core.errors import UserError
from .llama_cpp import BindingName, missing
from .llama_cpp_binding import LoadOptions

POOLINGS = {1: "mean", 2: "cls", 3: "last"}
"""Ways to make one vector of a text, as GGUF files number them. Others make none, or a rank."""


class Encoder(Protocol):
    """A loaded model that makes vectors."""

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that the model puts around it.

        Control tokens in the text are text.
        """
        ...

    def vector(self, tokens: Sequence[int]) -> Sequence[float]:
        """Return the pooled vector of a text that fits into the context.

        Each text is evaluated alone: llama.cpp's last bits depend on what is evaluated together.

        Raises:
            RequestError: llama.cpp gave up.
        """
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


def load_encoder(name: BindingName, path: Path, options: LoadOptions) -> Encoder:
    """Load a model as an encoder, with the pooling that its file names.

    Raises:
        UserError: it cannot be loaded, or the library is not installed.
    """
    if (problem := missing(name)) is not None:
        raise UserError(problem)
    if name == "xllamacpp":
        from .encoder_xllamacpp import XllamacppEncoder

        return XllamacppEncoder(path, options)
    from .encoder_llama_cpp_python import LlamaCppPythonEncoder

    return LlamaCppPythonEncoder(path, options)
