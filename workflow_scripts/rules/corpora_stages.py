"""The settings of the stages of retrieval; see stages.py."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product

from ..backends.ledger import SpendingSettings
from ..backends.prices import quote
from ..backends.tokens import tokenizer_of
from ..config import searches, trials
from ..core.job_prompts import FOLDER as PROMPTS
from ..core.job_prompts import read_template
from ..costs.plan_settings import PlannedEmbedder, PlannedSearch
from ..datasets.items import DatasetSettings
from ..datasets.passages import PassagesSettings
from ..requests.check_searches import SearchesSettings
from ..requests.retrieve import RetrieveSettings, Window
from ..requests.rewrite import RewriteSettings
from ..retrieval.chunk import ChunkSettings
from ..retrieval.embedders.settings import IndexSettings
from ..retrieval.settings import RELEVANT, REWRITE, CorpusSettings, Search
from ..tasks.registry import TASKS
from .corpora import Rewriting
from .experiment import Experiment, Job
from .request_stages import build


def jobs_of_searches(experiment: Experiment) -> Iterator[tuple[str, Job]]:
    """Yield the jobs that find passages, and those that check searches, each with its stage."""
    for corpus, chunking in experiment.paid_chunks:
        yield "check_searches", Job(experiment, {"corpus": corpus, "chunking": chunking})
    for task, search in experiment.searches:
        yield "retrieve", Job(experiment, {"task": task, "search": search})
    for names in experiment.rewritten_searches:
        yield "rewrite", Job(experiment, names)
        yield "retrieve", Job(experiment, names)


def jobs_of_corpora(experiment: Experiment) -> Iterator[tuple[str, Job]]:
    """Yield the jobs of retrieval whose settings all experiments share, each with its stage."""
    for corpus, chunking in experiment.searched:
        of_corpus = {"corpus": corpus}
        settings = experiment.config.corpora[corpus]
        if settings.is_checked_out:
            yield "checkout", Job(experiment, of_corpus)
        yield "passages" if settings.dataset else "ingest", Job(experiment, of_corpus)
        yield "chunk", Job(experiment, {**of_corpus, "chunking": chunking})
        for embedder in experiment.used_embedders(corpus, chunking):
            names = {**of_corpus, "chunking": chunking, "embedder": embedder}
            yield "embed", Job(experiment, names)


def checkout(job: Job) -> CorpusSettings:
    """Settings for the files of a commit: which, but not what is taken of them."""
    corpus = job.experiment.corpus(job.wildcards)
    return CorpusSettings(path=corpus.path, git=corpus.git, commit=corpus.commit)


def ingest(job: Job) -> CorpusSettings:
    """Settings for the documents of a corpus."""
    return job.experiment.corpus(job.wildcards)


def passages(job: Job) -> PassagesSettings:
    """Settings for the documents of a corpus that are passages of a data set."""
    corpus = job.experiment.corpus(job.wildcards)
    name = corpus.dataset or ""
    spec = job.config.datasets[name]
    return PassagesSettings(
        name=name,
        task=spec.the_task,
        dataset=DatasetSettings(format=spec.format, member=spec.member, columns=spec.columns),
        corpus=corpus,
    )


def chunk(job: Job) -> ChunkSettings:
    """Settings for the chunks of a corpus."""
    corpus, chunking = job.wildcards["corpus"], job.wildcards["chunking"]
    return ChunkSettings(
        chunking=job.config.chunkings[chunking],
        tokenizer=job.experiment.tokenizer_of_chunks(corpus, chunking),
    )


def check_searches(job: Job) -> SearchesSettings:
    """Settings for the check of what searches some chunks."""
    return SearchesSettings(searches=job.experiment.searches_of_chunks(job.wildcards))


def embed(job: Job) -> IndexSettings:
    """Settings for the vectors and the index of an embedder."""
    return job.experiment.index_settings(job.wildcards["embedder"])


def retrieve(job: Job) -> RetrieveSettings:
    """Settings for the passages of a task's items."""
    search, task = job.experiment.search(job.wildcards), job.wildcards["task"]
    is_gold = search.embedder == RELEVANT
    tokenizer = job.experiment.tokenizer_of_chunks(search.corpus, search.chunking)
    return RetrieveSettings(
        task=task,
        search=search,
        index=None if is_gold else job.experiment.index_settings(search.embedder),
        tokenizer=tokenizer,
        windows=list(_windows(job, search)),
    )


def rewrite(job: Job) -> RewriteSettings:
    """Settings for the requests that rewrite the questions of a task."""
    template = read_template(REWRITE, PROMPTS / f"{REWRITE}.md")
    return RewriteSettings(
        task=job.wildcards["task"],
        template=template.text,
        template_source=template.source,
        reasoning=job.experiment.rewritings[_rewriting(job)],
    )


def embedding_spending(job: Job) -> SpendingSettings | None:
    """Where what embedders cost is written down; ``None`` where it is nothing, or not known.

    A hybrid has at most one embedder that costs something.
    """
    for each in job.experiment.learned(job.wildcards):
        backend = each.backend()
        price = quote(backend, job.config.pricing)
        if price is not None and not price.is_free:
            return SpendingSettings(
                folder=job.experiment.layout.of("spending"),
                engine=backend.engine,
                model=f"embeddings/{backend.model}",
                tokenizer=tokenizer_of(backend),
                quote=price,
                budget_usd=job.config.budget_usd,
            )
    return None


def planned_embedders(experiment: Experiment) -> list[PlannedEmbedder]:
    """Return the embedders that cost something, or may, with what they embed."""
    planned = []
    for each in experiment.paid_embedders(experiment.searches.values()):
        chunks: dict[str, None] = {}
        questions: dict[tuple[str, str], None] = {}
        for (task, _), search in experiment.searches.items():
            if each.embedder in experiment.parts_of(search):
                chunks[experiment.chunks_of(search)] = None
                questions[task, experiment.layout.questions.format(task=task)] = None
        planned.append(
            PlannedEmbedder(
                **dict(each),
                settings=experiment.known_embedders[each.embedder],
                chunks=list(chunks),
                questions=list(questions),
            )
        )
    return planned


def planned_searches(experiment: Experiment) -> list[PlannedSearch]:
    """Return the requests whose passages such embedders find."""
    paid = {each.embedder for each in experiment.paid_embedders(experiment.searches.values())}
    asked, found = set(experiment.all_requests()), []
    for task, temp in product(experiment.tasks, trials.temps(experiment.config)):
        for prompt, own in experiment.prompts.items():
            search = searches.search_of(experiment.config, own, task)
            embedders = [] if search is None else experiment.parts_of(search)
            if search is None or not paid.intersection(embedders):
                continue
            for decoding in experiment.decodings:
                names = {"decoding": decoding, "task": task, "temp": temp, "prompt": prompt}
                job = Job(experiment, names)
                parts = [
                    experiment.layout.requests.format(**names, part=part)
                    for part in trials.parts(experiment.config)
                ]
                if asked.intersection(parts):
                    found.append(
                        PlannedSearch(
                            embedders=embedders,
                            search=search,
                            parts=parts,
                            chunks=experiment.chunks_of(search),
                            questions=experiment.layout.questions.format(task=task),
                            prompt=prompt,
                            system=experiment.system_prompt(names),
                            build=build(job),
                        )
                    )
    return found


def parts_that_wait(experiment: Experiment, waiting: Collection[str]) -> set[str]:
    """Return the parts of requests whose passages some embedders find, and those sent again."""
    parts = {
        part
        for search in (planned_searches(experiment) if waiting else ())
        if set(waiting).intersection(search.embedders)
        for part in search.parts
    }
    retested = [
        pair for each in experiment.trials for pair in experiment.planned_retests(each).values()
    ]
    again = (
        file
        for first, again in retested
        if parts.intersection(first.input_files())
        for file in again.input_files()
    )
    return parts | set(again)


def _rewriting(job: Job) -> Rewriting:
    return Rewriting(*(job.wildcards[name] for name in Rewriting._fields))


def _windows(job: Job, search: Search) -> Iterator[Window]:
    """Yield the windows of the models on this machine that are asked with these passages."""
    experiment, task, seen = job.experiment, job.wildcards["task"], set()
    rewriting = _rewriting(job) if "rewriting" in job.wildcards.keys() else None  # noqa: SIM118
    arms = [(arm, trial.temps[0]) for trial in experiment.trials for arm in trial.arms.values()]
    for arm, temp in arms:
        if arm.answers or experiment.search_of(arm, task) != search:
            continue
        # Without a model: also of arms that rewrite, for which these passages are planned.
        if rewriting is not None and experiment.rewriting_of(arm, task) != rewriting:
            continue
        model = experiment.model_of(arm)
        if not model.declaration.is_local:
            continue
        files = experiment.templates({"prompt": arm.prompt, "task": task}).values()
        texts = {TASKS[task].read_template(path) for path in files}
        answer = arm.decoding.request(task, temp, seed=0).most_tokens
        for text in sorted(texts):
            window = Window(tokens=model.n_ctx - answer, text=f"{arm.prompt_text}\n\n{text}")
            if (key := (window.tokens, window.text)) not in seen:
                seen.add(key)
                yield window
