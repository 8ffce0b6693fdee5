"""What a config says about corpora, chunks and searches."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..core.block import Block
from ..core.values import LocalPath, path_name


class CorpusSettings(Block):
    """Where the documents of a corpus come from; exactly one of the sources."""

    path: LocalPath | None = Field(
        None, description="A folder, a Git repository, an archive, or JSON Lines or CSV of documents."
    )
    git: str | None = Field(None, description="The URL of a Git repository; `commit` is required.")
    commit: str | None = Field(
        None, pattern=r"^[0-9a-f]{7,40}$", description="The commit of a Git repository."
    )
    dataset: str | None = Field(None, description="A data set whose passages are the documents.")
    include: list[str] = Field(default_factory=lambda: ["**"], description="Patterns of paths.")
    exclude: list[str] = Field(default_factory=list, description="Patterns of paths.")
    max_bytes: int = Field(1_000_000, ge=1, description="Larger files are left out.")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(each is not None for each in (self.path, self.git, self.dataset)) != 1:
            raise ValueError("give one of path, git and dataset")
        return self


class ChunkingSettings(Block):
    """How documents are cut into chunks."""

    tokens: int = Field(800, ge=1, description="The most tokens of a chunk.")
    overlap: float = Field(0.15, ge=0, lt=1, description="The share that neighbours have in common.")
    by: Literal["lines", "code", "document"] = Field(
        "lines",
        description="Where to cut: at line ends, for Python also at functions and classes "
        "(`code`), or not at all (`document`).",
    )


class Search(Block):
    """How an arm finds its passages."""

    corpus: str
    chunking: str
    embedder: str
    top_k: int = Field(5, ge=1, description="How many passages are found.")
    max_tokens: int | None = Field(
        None, ge=1, description="The most tokens of all passages; what does not fit is left out whole."
    )
    order: Literal["best_first", "best_last"] = "best_first"

    @property
    def name(self) -> str:
        """Its name in paths."""
        parts = [self.corpus, self.chunking, self.embedder, f"k{self.top_k}"]
        if self.max_tokens is not None:
            parts.append(f"m{self.max_tokens}")
        return path_name(".".join(parts))


RELEVANT = "relevant"
"""The embedder that finds the gold passages of an item: the best that a search could do."""
