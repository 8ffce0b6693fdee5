"""The corpora of a config as the rules see them: sources, chunks, indexes and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from ..answers.parts import ArmParts
from ..backends.prices import no_price, quote
from ..backends.settings import BackendSettings
from ..backends.tokens import TokenizerFile
from ..config import arms, searches, trials
from ..config.decodings import reasoning_name
from ..config.schema import Config
from ..config.trial import Arm, DecodingSettings, Trial
from ..core.checksum import file_sha256
from ..core.records import Reasoning
from ..costs.settings import PaidEmbedder
from ..retrieval.embedders.settings import (
    SHIPPED,
    EmbedderSettings,
    IndexSettings,
    LearnedFields,
    index_settings,
)
from ..retrieval.index_files import index_files, is_dense, search_files
from ..retrieval.settings import RELEVANT, CorpusSettings, Search
from ..retrieval.sources import folder_digest
from ..tasks.given import ArmRetrieval
from ..tasks.registry import TASKS
from .layout import CHECKED, CHUNKS, COMMIT, CORPUS, DOWNLOAD, REWRITTEN, Layout

Wildcards = Mapping[str, str]
Origin = Literal["path", "commit", "dataset"]


class Rewriting(NamedTuple):
    """Requests by which a model rewrites the questions of a task; their wildcards.

    ``rewriting`` is their name in paths. A model thinks as much as it does for an arm's answers,
    so arms that differ in this do not share them.
    """

    backend: str
    model: str
    task: str
    rewriting: str


class Corpora:
    """What `Experiment` knows of retrieval.

    The methods that take ``wildcards`` are input functions and params of rules.
    """

    config: Config
    layout: Layout
    trial: Callable[[Wildcards], Trial]
    model: Callable[[Wildcards], BackendSettings]
    decoding: Callable[[Wildcards], DecodingSettings]

    @cached_property
    def searches(self) -> dict[tuple[str, str], Search]:
        """The searches of the arms, by task and by their names in paths."""
        return searches.searches(self.config)

    def search(self, wildcards: Wildcards) -> Search:
        """The search of a job."""
        return self.searches[wildcards["task"], wildcards["search"]]

    @cached_property
    def searched(self) -> dict[tuple[str, str], None]:
        """The corpora with the chunkings that are searched."""
        return dict.fromkeys((each.corpus, each.chunking) for each in self.searches.values())

    @cached_property
    def known_embedders(self) -> dict[str, EmbedderSettings]:
        """The embedders by name, with those that need no entry in the config."""
        return {**SHIPPED, **self.config.embedders}

    def embedders(self, *, dense: bool) -> list[str]:
        """The embedders with an index of vectors, or those with one of words."""
        return [
            name
            for name, each in self.known_embedders.items()
            if index_files(each) and is_dense(each) == dense
        ]

    def index_settings(self, embedder: str) -> IndexSettings:
        """What the stages of an embedder read."""
        return index_settings(embedder, self.config.embedders)

    def learned(self, wildcards: Wildcards) -> list[LearnedFields]:
        """The embedders with a model that a job asks: of chunks, or of a search."""
        name = wildcards.get("embedder") or self.search(wildcards).embedder
        if name == RELEVANT:
            return []
        embedders = self.index_settings(name).embedders.values()
        return [each for each in embedders if isinstance(each, LearnedFields)]

    def embedder_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """The digests of the files of a job's embedders."""
        files = (each.backend().model_file for each in self.learned(wildcards))
        return {Path(file).as_posix(): file_sha256(Path(file)) for file in files if file}

    def embedder_gpus(self, wildcards: Wildcards) -> int:
        """1 for a job whose embedder occupies a GPU of this machine."""
        return int(self._takes_turns(wildcards, "gpu"))

    def embedder_cpu_models(self, wildcards: Wildcards) -> int:
        """1 for a job whose embedder computes on this machine's CPU alone."""
        return int(self._takes_turns(wildcards, "cpu_model"))

    def _takes_turns(self, wildcards: Wildcards, on: str) -> bool:
        return any(each.backend().takes_turns_on == on for each in self.learned(wildcards))

    def paid_embedders(self, of: Iterable[Search]) -> list[PaidEmbedder]:
        """The embedders of searches that cost something, or may: they have no price."""
        found = []
        for name in dict.fromkeys(name for search in of for name in self.parts_of(search)):
            own = self.known_embedders[name]
            if not isinstance(own, LearnedFields):
                continue
            backend = own.backend()
            price = quote(backend, self.config.pricing)
            if price is None or not price.is_free:
                note = no_price(backend) if price is None else None
                found.append(PaidEmbedder(embedder=name, model=own.model, quote=price, note=note))
        return found

    def parts_of(self, search: Search) -> list[str]:
        """The embedders of a search: a hybrid, and its parts."""
        if search.embedder == RELEVANT:
            return []
        return list(self.index_settings(search.embedder).embedders)

    def chunks_of(self, search: Search) -> str:
        """The chunks that are searched."""
        return CHUNKS.format(corpus=search.corpus, chunking=search.chunking)

    @cached_property
    def paid_chunks(self) -> dict[tuple[str, str], None]:
        """The corpora with the chunkings that embedders read that cost something, or may."""
        paid = {each.embedder for each in self.paid_embedders(self.searches.values())}
        return {
            (each.corpus, each.chunking): None
            for each in self.searches.values()
            if paid.intersection(self.parts_of(each))
        }

    def of_paid_chunks(self, path: str) -> list[str]:
        """A path for each of them."""
        return sorted(path.format(corpus=corpus, chunking=of) for corpus, of in self.paid_chunks)

    def searches_of_chunks(self, wildcards: Wildcards) -> dict[str, list[Search]]:
        """The searches of some chunks, by task."""
        found: dict[str, list[Search]] = {}
        for (task, _), each in self.searches.items():
            if (each.corpus, each.chunking) == (wildcards["corpus"], wildcards["chunking"]):
                found.setdefault(task, []).append(each)
        return found

    def items_that_search(self, wildcards: Wildcards) -> list[str]:
        """The items of these tasks."""
        return [self.layout.items.format(task=task) for task in self.searches_of_chunks(wildcards)]

    def checked_before(self, wildcards: Wildcards) -> list[str]:
        """What an embedder that costs something, or may, waits for."""
        paid = {each.embedder for each in self.paid_embedders(self.searches.values())}
        return [CHECKED.format(**wildcards)] if wildcards["embedder"] in paid else []

    def corpora_of(self, *origins: Origin) -> list[str]:
        """The corpora that come from there."""
        return [name for name, each in self.config.corpora.items() if _origin(each) in origins]

    def corpus(self, wildcards: Wildcards) -> CorpusSettings:
        """The settings of a job's corpus."""
        return self.config.corpora[wildcards["corpus"]]

    def corpus_path(self, wildcards: Wildcards) -> str:
        """The folder or file that the documents are read from."""
        corpus = self.corpus(wildcards)
        if corpus.dataset is not None:
            spec = self.config.datasets[corpus.dataset]
            download = DOWNLOAD.format(dataset=corpus.dataset, file=spec.file_name)
            return Path(spec.path or download).as_posix()
        if corpus.is_checked_out:
            return COMMIT.format(corpus=wildcards["corpus"])
        return Path(str(corpus.path)).as_posix()

    def corpus_source(self, wildcards: Wildcards) -> list[str]:
        """That file; none for a folder."""
        path = self.corpus_path(wildcards)
        return [] if Path(path).is_dir() else [path]

    def corpus_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """The digest of the user's own folder or file, which decides, and not its date."""
        corpus, path = self.corpus(wildcards), Path(self.corpus_path(wildcards))
        spec = self.config.datasets.get(corpus.dataset or "")
        if corpus.is_checked_out or (spec is not None and spec.path is None):
            return {}
        digest = folder_digest(path, corpus) if path.is_dir() else file_sha256(path)
        return {path.as_posix(): digest}

    def tokenizer_of_chunks(self, corpus: str, chunking: str) -> TokenizerFile | None:
        """What counts the tokens of chunks; ``None``: they are estimated."""
        found = searches.tokenizers(self.config, corpus, chunking)
        return found[0] if len(found) == 1 else None

    def chunk_tokenizer(self, wildcards: Wildcards) -> list[str]:
        """Its file, if there is one."""
        found = self.tokenizer_of_chunks(wildcards["corpus"], wildcards["chunking"])
        return [Path(found.path).as_posix()] if found and found.path else []

    def chunk_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """The digest of that file."""
        return {path: file_sha256(Path(path)) for path in self.chunk_tokenizer(wildcards)}

    def searched_chunks(self, wildcards: Wildcards) -> str:
        """The chunks that a job searches."""
        return self.chunks_of(self.search(wildcards))

    def searched_index(self, wildcards: Wildcards) -> list[str]:
        """The files of the index that a job searches; none where gold passages are taken."""
        search = self.search(wildcards)
        if search.embedder == RELEVANT:
            return []
        folder = CORPUS.format(corpus=search.corpus)
        files = search_files(self.index_settings(search.embedder))
        return [f"{folder}/{search.chunking}/{file}" for file in files]

    def index_argument(self, wildcards: Wildcards) -> str:
        """The argument with the folder of that index."""
        search = self.search(wildcards)
        if search.embedder == RELEVANT:
            return ""
        folder = CORPUS.format(corpus=search.corpus)
        return f"--index {folder}/{search.chunking}/{search.embedder}"

    def retrieved_of_requests(self, wildcards: Wildcards) -> list[str]:
        """The passages that the requests of a prompt are given, if it searches."""
        own = trials.prompts(self.config)[wildcards["prompt"]]
        search = searches.search_of(self.config, own, wildcards["task"])
        return [] if search is None else [self._retrieved(wildcards["task"], search)]

    def retrieved(self, wildcards: Wildcards) -> list[str]:
        """The passages of a trial's arms that search."""
        of_arms = (files for _, files in self._of_arms(self.trial(wildcards)))
        return list(dict.fromkeys(file for files in of_arms for file in files))

    def retrieved_argument(self, wildcards: Wildcards) -> str:
        """The argument with them, each after its condition; empty where no arm searches."""
        pairs = [
            f"{condition}={file}"
            for condition, files in self._of_arms(self.trial(wildcards))
            for file in files
        ]
        return " ".join(["--retrieved", *pairs]) if pairs else ""

    def retrievals(self, trial: Trial) -> dict[str, ArmRetrieval]:
        """The passages of the arms that search, with what says how their prompts number them."""
        return {
            condition: ArmRetrieval(
                files=files,
                options={
                    task: options
                    for task, options in trial.arms[condition].options.items()
                    if TASKS[task].searches
                },
            )
            for condition, files in self._of_arms(trial)
            if files
        }

    def retrieved_of_arm(self, wildcards: Wildcards) -> list[str]:
        """The passages of one arm of a trial, if it searches."""
        return self._of_arm(self.trial(wildcards).arms[wildcards["condition"]])

    def retrieved_of_all_trials(self) -> list[str]:
        """The passages of the arms that search, of all trials."""
        arms = (arm for trial in trials.trials(self.config) for arm in trial.arms.values())
        return list(dict.fromkeys(file for arm in arms for file in self._of_arm(arm)))

    def _of_arms(self, trial: Trial) -> list[tuple[str, list[str]]]:
        return [(name, self._of_arm(arm)) for name, arm in trial.arms.items()]

    def search_of(self, arm: Arm, task: str) -> Search | None:
        """How an arm finds the passages of a task's items."""
        if arm.answers is not None:
            return None
        return searches.search_of(self.config, trials.prompts(self.config)[arm.prompt], task)

    @cached_property
    def rewritten_prompts(self) -> list[str]:
        """The names of prompts whose questions are rewritten by the model that is asked."""
        prompts = trials.prompts(self.config)
        return [name for name, own in prompts.items() if arms.rewrites(self.config, own)]

    def rewrites(self, arm: Arm, task: str) -> bool:
        """Whether the model that answers in an arm rewrites the questions of a task."""
        if self.search_of(arm, task) is None:
            return False
        return arms.rewrites_in(self.config, trials.prompts(self.config)[arm.prompt], task)

    def rewriting_of(self, arm: Arm, task: str) -> Rewriting | None:
        """How the questions of a task are rewritten for an arm; ``None``: they are not."""
        if not self.rewrites(arm, task):
            return None
        return self._rewriting(arm.backend, arm.model, task, arm.decoding)

    def _rewriting(
        self, backend: str, model: str, task: str, decoding: DecodingSettings
    ) -> Rewriting:
        reasoning, name = decoding.reasoning, REWRITTEN
        of_backend = self.model({"backend": backend, "model": model}).reasoning
        if reasoning is not None and reasoning != of_backend:
            name = f"{REWRITTEN}-{reasoning_name(reasoning)}"
        return Rewriting(backend, model, task, name)

    @cached_property
    def _rewritten(self) -> dict[tuple[Rewriting, str], Reasoning | None]:
        """The searches for rewritten questions, each with how much the model thinks."""
        if not self.rewritten_prompts:
            return {}
        return {
            (rewriting, search.name): arm.decoding.reasoning
            for trial in trials.trials(self.config)
            for arm in trial.arms.values()
            for task, search in self._searches(arm)
            if (rewriting := self.rewriting_of(arm, task)) is not None
        }

    @property
    def rewritten_searches(self) -> list[dict[str, str]]:
        """The wildcards of each search for texts that a model made."""
        return [{**of._asdict(), "search": search} for of, search in self._rewritten]

    @property
    def rewritings(self) -> dict[Rewriting, Reasoning | None]:
        """The requests that rewrite questions, each with how much the model thinks."""
        return {of: reasoning for (of, _), reasoning in self._rewritten.items()}

    def rewritten_retrieved_of_requests(self, wildcards: Wildcards) -> list[str]:
        """The passages that the requests of a prompt are given, if its questions are rewritten."""
        task = wildcards["task"]
        own = trials.prompts(self.config)[wildcards["prompt"]]
        search = searches.search_of(self.config, own, task)
        if search is None or not arms.rewrites_in(self.config, own, task):
            return self.retrieved_of_requests(wildcards)
        model = wildcards["backend"], wildcards["model"]
        of = self._rewriting(*model, task, self.decoding(wildcards))
        return [self.layout.rewritten_retrieved.format(**of._asdict(), search=search.name)]

    def rewritings_of(self, arm: Arm) -> list[Rewriting]:
        """How the questions of an arm are rewritten, task by task."""
        found = (self.rewriting_of(arm, task) for task, _ in self._searches(arm))
        return [of for of in found if of is not None]

    def rewriting_parts(self, rewriting: Rewriting) -> ArmParts:
        """The requests by which questions are rewritten, and the replies."""
        of = rewriting._asdict()
        requests = PurePosixPath(self.layout.rewrite_requests.format(**of))
        raw = PurePosixPath(self.layout.rewrite_raw.format(**of))
        return ArmParts(
            inputs_folder=requests.parent.as_posix(),
            raw_folder=raw.parent.as_posix(),
            names=[raw.name],
        )

    def rewriting_files(self, wildcards: Wildcards) -> list[str]:
        """The requests and replies by which the questions of a trial's arms are rewritten."""
        arms_of_trial = self.trial(wildcards).arms.values()
        found = {of: None for arm in arms_of_trial for of in self.rewritings_of(arm)}
        parts = map(self.rewriting_parts, found)
        return [file for each in parts for file in (*each.input_files(), *each.raw_files())]

    def searches_of(self, trial: Trial) -> list[Search]:
        """How the arms of a trial find passages."""
        found = (self._searches(arm) for arm in trial.arms.values())
        return [search for of_arm in found for _, search in of_arm]

    def _of_arm(self, arm: Arm) -> list[str]:
        return [
            self._retrieved(task, search)
            if (of := self.rewriting_of(arm, task)) is None
            else self.layout.rewritten_retrieved.format(**of._asdict(), search=search.name)
            for task, search in self._searches(arm)
        ]

    def _searches(self, arm: Arm) -> list[tuple[str, Search]]:
        found = ((task, self.search_of(arm, task)) for task in trials.tasks(self.config))
        return [(task, search) for task, search in found if search is not None]

    def _retrieved(self, task: str, search: Search) -> str:
        return self.layout.retrieved.format(task=task, search=search.name)

    def retrieval_constraints(self) -> dict[str, list[str]]:
        """For each wildcard of retrieval, the values that the config gives it."""
        return {
            "corpus": list(self.config.corpora),
            "chunking": list(self.config.chunkings),
            "embedder": list(self.known_embedders),
            "search": [name for _, name in self.searches],
        }

    def jobs_before(self, search: Search) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the rules that make what a search reads, each with its wildcards."""
        corpus = self.config.corpora[search.corpus]
        names = {"corpus": search.corpus}
        if corpus.is_checked_out:
            yield "checkout", names
        yield "passages" if corpus.dataset else "ingest", names
        names = {**names, "chunking": search.chunking}
        yield "chunk", names
        if (search.corpus, search.chunking) in self.paid_chunks:
            yield "check_searches", names
        if search.embedder == RELEVANT:
            return
        for name, each in self.index_settings(search.embedder).embedders.items():
            of_index = {**names, "embedder": name}
            if is_dense(each):
                yield "embed", of_index
            if index_files(each):
                yield "index_vectors" if is_dense(each) else "index_words", of_index

    def used_embedders(self, corpus: str, chunking: str) -> list[str]:
        """The embedders, parts of hybrids too, whose indexes of some chunks are searched."""
        found: dict[str, None] = {}
        for each in self.searches.values():
            if (each.corpus, each.chunking) == (corpus, chunking):
                found.update(dict.fromkeys(self.parts_of(each)))
        return list(found)


def _origin(corpus: CorpusSettings) -> Origin:
    if corpus.dataset is not None:
        return "dataset"
    return "commit" if corpus.is_checked_out else "path"
