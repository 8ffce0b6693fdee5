"""The seam between the client of llama.cpp and the library that runs it: one module each.

Both are llama.cpp in this process. `xllamacpp` has wheels for all systems; `llama-cpp-python` is
compiled for the machine, also for its GPU. The config says which one answers; none takes the place
of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ..core.errors import UserError
from ..core.records import Decoding, Logprobs
from .gguf_chat import Tokenizer
from .llama_cpp import BindingName, missing

PREFIX_BLOCK = 64
"""Tokens that are evaluated together, and the unit in which a prompt's prefix is reused.

llama.cpp's results differ in the last bits with the number of tokens evaluated at once. Since
prompts are always cut at multiples of this number, an answer does not depend on which request
came before it: a run that was killed and resumed gives what an undisturbed run gives.
"""

USUAL_BATCH = 512
"""Tokens that are evaluated together at most, as in llama.cpp's own programs."""

GPU_BUILD = (
    "Compile llama.cpp for your GPU (make llama-cpp GPU=cuda; on Windows: "
    ".\\tasks.ps1 llama-cpp -Gpu cuda) and set local_binding: llama_cpp_python"
)
"""How to get a build that uses a GPU."""


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    Attributes:
        n_ctx: context length in tokens.
        n_gpu_layers: layers kept on the GPU; -1 is all.
        n_threads: CPU threads; None is one for each physical core.
        batch: tokens that are evaluated together at most, where several answers are made at once.
        sequences: answers that are made at once, by bindings that can.
        cells: tokens that these hold together; None is ``n_ctx``.
    """

    n_ctx: int
    n_gpu_layers: int = 0
    n_threads: int | None = None
    batch: int = USUAL_BATCH
    sequences: int = 1
    cells: int | None = None

    @property
    def threads(self) -> int:
        """CPU threads."""
        return self.n_threads or _cores()


@dataclass(frozen=True)
class Generated:
    """An answer: its text, why it ended, and its tokens (without the one that ends it).

    ``seconds`` is the time from the beginning of its evaluation to its end, ``first_token_s`` to
    its first token. ``at_once`` is how many answers were being made when it began, itself included.
    ``logprobs``: where they are asked for, by the model itself, before any sampler or schema.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    tokens: int
    logprobs: Logprobs | None = None
    first_token_s: float = field(default=0.0, compare=False)
    seconds: float = field(default=0.0, compare=False)
    at_once: int = field(default=1, compare=False)


class Model(Tokenizer, Protocol):
    """A loaded model."""

    def submit(self, prompt: list[int], decoding: Decoding) -> Future[Generated]:
        """Return the future answer to a prompt that fits into the context.

        Decoding parameters that are ``None`` are off (no top-p, no top-k), not llama.cpp's
        defaults. The stop text that comes first in the answer ends it. The schema is in
        llguidance's dialect; an answer that completes its value ends there, with ``stop``.

        Raises:
            RequestError: the schema is too complex; from the future also: llama.cpp gave up.
        """
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


class Binding(Protocol):
    """A library that runs llama.cpp."""

    def served_by(self) -> Mapping[str, str]:
        """Return what answers: library, version, and the build of llama.cpp in it."""
        ...

    def finds_gpu(self) -> bool:
        """Return whether this build of llama.cpp can use a GPU of this machine."""
        ...

    def load(self, path: Path, options: LoadOptions) -> Model:
        """Load a model.

        Raises:
            UserError: it cannot be loaded.
        """
        ...

    def load_tokenizer(self, path: Path) -> Tokenizer:
        """Load as little of a model as its tokenizer needs.

        Raises:
            UserError: it cannot be loaded.
        """
        ...


def binding(name: BindingName) -> Binding:
    """Return a binding.

    Raises:
        UserError: its library is not installed.
    """
    if (problem := missing(name)) is not None:
        raise UserError(problem)
    if name == "xllamacpp":
        from .binding_xllamacpp import Xllamacpp

        return Xllamacpp()
    from .binding_llama_cpp_python import LlamaCppPython

    return LlamaCppPython()


def build(number: str, system_info: str) -> str:
    """Return a build of llama.cpp in words: its number, its devices and what they use."""
    used = re.sub(r"(\w+) = 1", r"\1", re.sub(r"\w+ = 0( \||$)", "", system_info))
    return f"{number} ({' '.join(used.replace('|', ' ').split())})"


def _cores() -> int:
    """Return how many threads compute best: one for each physical core that this process has."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or 1, usable or 1))


def cannot_load(path: Path, reason: str) -> UserError:
    """Return the error of a model that llama.cpp refuses."""
    return UserError(
        f"{path.as_posix()}: llama.cpp cannot load this model ({reason}). "
        "Is it a complete GGUF file, and is there enough memory?"
    )
