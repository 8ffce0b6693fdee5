"""What a config says about corpora, chunks and searches."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..core.block import Block
from ..core.values import LocalPath, Name, NotEmpty, folder_name, path_name

RetrievalName = Annotated[Name, folder_name("seals", "settings")]
"""The name of a corpus, a chunking or an embedder: a folder beside one of Assay's own."""


class CorpusSettings(Block):
    """Where the documents of a corpus come from: exactly one of path, git and dataset."""

    path: LocalPath | None = Field(
        None,
        description="A folder, an archive, or JSON Lines or CSV of documents; with commit a Git "
        "repository on this machine.",
    )
    git: NotEmpty | None = Field(None, description="The address of a Git repository.")
    commit: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{7,40}$",
        description="The commit whose files are read; required with git.",
    )
    dataset: Name | None = Field(None, description="A data set whose passages are the documents.")
    include: list[NotEmpty] = Field(
        ["**"], min_length=1, description="Patterns of paths, as in .gitignore."
    )
    exclude: list[NotEmpty] = Field([], description="The same, of paths that are left out.")
    max_bytes: int = Field(1_000_000, ge=1, description="Larger documents are left out.")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(each is not None for each in (self.path, self.git, self.dataset)) != 1:
            raise ValueError("a corpus needs exactly one of path, git and dataset")
        if self.git is not None and self.commit is None:
            raise ValueError("git needs commit, so that the same files are read each time")
        if self.git is not None and self.git.startswith("-"):
            raise ValueError("git: an address does not begin with '-'")
        if self.dataset is not None and self.commit is not None:
            raise ValueError("commit goes with path or git")
        return self

    @property
    def is_checked_out(self) -> bool:
        """Whether its files are those of a commit."""
        return self.commit is not None


class ChunkingSettings(Block):
    """How documents are cut into chunks."""

    tokens: int = Field(800, ge=1, description="The most tokens of a chunk.")
    overlap: float = Field(
        0.15, ge=0, lt=1, description="The share of a chunk that the next one repeats, at most."
    )
    by: Literal["lines", "code", "document"] = Field(
        "lines",
        description="Where documents are cut: at line ends; `code`: Python also at functions and "
        "classes; `document`: not at all.",
    )


class Search(Block):
    """How an arm finds its passages."""

    corpus: Name = Field(description="One of `corpora`.")
    chunking: Name = Field(description="One of `chunkings`.")
    embedder: Name = Field(
        description="bm25, lsa, one of `embedders`, or relevant: the gold passages."
    )
    top_k: int = Field(5, ge=1, description="How many passages are found; relevant finds all.")
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="The most tokens of all passages in a prompt; passages that do not fit are "
        "left out whole, the last ones first.",
    )
    order: Literal["best_first", "best_last"] = Field(
        "best_first", description="Where the best passage is."
    )

    @property
    def name(self) -> str:
        """Its name in paths."""
        parts = [self.corpus, self.chunking, self.embedder]
        if self.embedder != RELEVANT:
            parts.append(f"k{self.top_k}")
        if self.max_tokens is not None:
            parts.append(f"m{self.max_tokens}")
        return path_name(".".join(parts))


RELEVANT = "relevant"
"""The embedder that finds the gold passages of an item: the best that a search could do."""

REWRITE = "rewrite"
"""The value of the option ``query``, and the job, by which a model rewrites questions."""

Searching = Search | Literal["relevant"]
"""How passages are found; ``relevant``: the gold passages, of the one corpus and chunking."""
