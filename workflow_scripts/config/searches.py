"""How the arms of a config find their passages, and what is wrong with that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ..backends.tokens import TokenizerFile, tokenizer_of
from ..core.records import TaskName
from ..retrieval.embedders.settings import SHIPPED, LlamaCppEmbedderSettings, mistake
from ..retrieval.index_files import missing
from ..retrieval.settings import RELEVANT, Search
from ..tasks.registry import TASKS, options_of
from . import arms, models, trials
from .mistakes import Location, Problem, there_are
from .schema import ArmOverrides, Config


def search_of(config: Config, own: ArmOverrides, task: TaskName) -> Search | None:
    """Return how an arm finds the passages of a task's items; ``None``: it has none.

    Raises:
        ValueError: it takes the gold passages, of which corpus or chunking is not clear.
    """
    if own.answers is not None:
        return None
    found = TASKS[task].search(options_of(task, arms.options(config, own)))
    if found is None or isinstance(found, Search):
        return found
    for name, given in (("corpora", config.corpora), ("chunkings", config.chunkings)):
        if len(given) != 1:
            raise ValueError(
                f"relevant takes the one corpus and the one chunking, and {name} has {len(given)}; "
                "write {corpus: …, chunking: …, embedder: relevant}"
            )
    return Search(corpus=next(iter(config.corpora)), chunking=next(iter(config.chunkings)),
                  embedder=RELEVANT)  # fmt: skip


def searches(config: Config) -> dict[tuple[TaskName, str], Search]:
    """Return all searches of the arms in use, by task and by their names in paths."""
    return {
        (task, search.name): search
        for own in trials.prompts(config).values()
        for task in trials.tasks(config)
        if (search := search_of(config, own, task)) is not None
    }


def tokenizers(config: Config, corpus: str, chunking: str) -> list[TokenizerFile]:
    """Return what can count the tokens of chunks, each once.

    The tokenizers of the embedders that read the chunks; without any, those of the models that
    answer.
    """
    used = {
        part
        for search in searches(config).values()
        if (search.corpus, search.chunking) == (corpus, chunking)
        for part in (search.embedder, *getattr(config.embedders.get(search.embedder), "parts", ()))
    }
    found = [
        TokenizerFile(path=own.model, is_own=True, binding=own.local_binding)
        for name, own in config.embedders.items()
        if name in used and isinstance(own, LlamaCppEmbedderSettings)
    ]
    if not found:
        answering = map(tokenizer_of, models.models(config).values())
        found = [each for each in answering if each.path is not None]
    return list({each.path: each for each in found}.values())


def impossible_corpora(config: Config) -> Iterator[Problem]:
    """Corpora that cannot be read."""
    for name, corpus in config.corpora.items():
        where: Location = ("corpora", name)
        if corpus.path is not None:
            path = Path(corpus.path)
            if corpus.is_checked_out and not path.is_dir():
                yield (*where, "path"), f"there is no repository {path.as_posix()!r}"
            elif not path.exists():
                yield (*where, "path"), f"there is no folder or file {path.as_posix()!r}"
        if corpus.is_checked_out and shutil.which("git") is None:
            yield where, "commit needs the program git, which is not on the PATH"
        if corpus.dataset is not None and corpus.dataset not in config.datasets:
            hint = there_are(corpus.dataset, config.datasets)
            yield (*where, "dataset"), f"no data set {corpus.dataset!r}{hint}"


def impossible_searches(config: Config) -> Iterator[Problem]:
    """Arms that search in what the config does not have."""
    known = {**SHIPPED, **config.embedders}
    for name in config.embedders:
        if problem := mistake(name, known):
            yield ("embedders", name), problem
    for place, own in _searching(config):
        for task in trials.tasks(config):
            try:
                search = search_of(config, own, task)
            except ValidationError:  # `arm_checks.impossible_arms` says so
                continue
            except ValueError as error:
                yield place, str(error)
                continue
            if search is not None:
                yield from _unknown(config, place, search)


def _searching(config: Config) -> Iterator[tuple[Location, ArmOverrides]]:
    """Yield the arms, and the prompts in use, each with where its search is written."""
    for name, own in config.arms.items():
        if "retrieval" in own.options:
            yield ("arms", name, "retrieval"), own
    for own in trials.prompts(config).values():
        if "retrieval" not in own.options:
            yield ("task_options",), own


def _unknown(config: Config, place: Location, search: Search) -> Iterator[Problem]:
    if search.corpus not in config.corpora:
        yield place, f"no corpus {search.corpus!r}{there_are(search.corpus, config.corpora)}"
    if search.chunking not in config.chunkings:
        hint = there_are(search.chunking, config.chunkings)
        yield place, f"no chunking {search.chunking!r}{hint}"
    if search.embedder == RELEVANT:
        return
    known = {**SHIPPED, **config.embedders}
    if search.embedder not in known:
        hint = there_are(search.embedder, [*known, RELEVANT])
        yield place, f"no embedder {search.embedder!r}{hint}"
        return
    own = known[search.embedder]
    for part in (own, *(known[name] for name in getattr(own, "parts", ()) if name in known)):
        if problem := missing(part):
            yield place, problem
