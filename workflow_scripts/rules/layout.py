"""All paths of the rules, written once. Names in braces are wildcards."""

from __future__ import annotations

from dataclasses import dataclass

from ..answers.parts import RETEST
from ..retrieval.index_files import ABOUT as INDEX_NAME
from ..retrieval.index_files import DENSE as DENSE_NAME
from ..retrieval.index_files import EMBEDDINGS as EMBEDDINGS_NAME
from ..retrieval.index_files import LEXICAL as WORDS_NAME
from ..retrieval.settings import REWRITE

JOURNAL = "results/journal"
"""The folder of all answers, which all experiments share."""

PAGE = "results/report.html"
PAGE_SEAL = "results/seals/index.json"
PAGE_LOG = "results/logs/report.log"

DOWNLOADS = "results/downloads"
DOWNLOAD = f"{DOWNLOADS}/{{dataset}}/{{file}}"
DOWNLOAD_LOG = "results/logs/download/{dataset}.{file}.log"

CORPORA = "results/corpora"
CORPUS = f"{CORPORA}/{{corpus}}"
COMMIT = f"{CORPUS}/source.tar"
DOCUMENTS = f"{CORPUS}/documents.jsonl"
CHUNKS = f"{CORPUS}/{{chunking}}/chunks.jsonl"
CHECKED = f"{CORPUS}/{{chunking}}/checked.txt"
EMBEDDINGS = f"{CORPUS}/{{chunking}}/{{embedder}}/{EMBEDDINGS_NAME}"
INDEX = f"{CORPUS}/{{chunking}}/{{embedder}}/{INDEX_NAME}"
DENSE_INDEX = f"{CORPUS}/{{chunking}}/{{embedder}}/{DENSE_NAME}"
WORD_INDEX = f"{CORPUS}/{{chunking}}/{{embedder}}/{WORDS_NAME}"
CORPUS_LOG = "results/logs/{rule}/{about}.log"
"""What all experiments share of retrieval."""

JUDGED = "judge"
"""In the place of a decoding: the requests to judges."""

ANALYSIS = "analysis"
POSSIBLE = "possible"
"""In the place of a job's name: the requests that an analysis may send after its first one."""

"""In the place of a decoding: the requests of analyses."""

REWRITTEN = "rewrite"
"""In the place of a decoding: the requests that rewrite questions, as the backend reasons."""

MODEL = "{backend}/{model}"
TRIAL = "{backend}/{model}/{decoding}/{prompt_set}"
REQUESTS = "{decoding}/{task}.{prompt}.t{temp}"
IMPORT = "{task}.{prompt}.t{temp}"
PART = "{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}"
WAVE = "{backend}/{model}/{decoding}/{prompt_set}.wave{wave}"
ARM = "{backend}/{model}/{decoding}/{prompt_set}/{task}.{condition}.t{temp}"
"""What a job can be about; its log and its benchmark are named after it."""

SEALED = (
    "parse",
    "score",
    "unsupported_sensitivity",
    "stats",
    "costs",
    "cost_effectiveness",
    "differences",
)
"""The rules whose seals are verified before a page is written."""

JUDGED_SEALED = ("verdicts", "judgements")
"""Those of them that run where somebody judges."""


@dataclass(frozen=True)
class Layout:
    """The paths of one experiment.

    The experiment's name is no wildcard: Snakemake finds the rule of a file by the constant
    beginning of its path, and a long one leaves few rules to compare.
    """

    experiment: str

    def of(self, name: str) -> str:
        """A file of the experiment as a whole."""
        return f"results/{self.experiment}/{name}"

    @property
    def items(self) -> str:
        """The items of a task, with their gold answers."""
        return self.of("items/{task}.jsonl")

    @property
    def questions(self) -> str:
        """The items of a task without their gold answers."""
        return self.of("questions/{task}.jsonl")

    @property
    def retrieved(self) -> str:
        """What a search finds for each item of a task."""
        return self.of("retrievals/{task}.{search}.jsonl")

    @property
    def rewrite_requests(self) -> str:
        """The batch-input part that asks a model to rewrite the questions of a task."""
        return self.of(f"{MODEL}/inputs/{{rewriting}}/{REWRITE}.{{task}}.t0.0.p000.jsonl")

    @property
    def rewrite_raw(self) -> str:
        """The answers to it."""
        return self.of(f"{MODEL}/{{rewriting}}/raw/{REWRITE}.{{task}}.t0.0.p000.jsonl")

    @property
    def search_texts(self) -> str:
        """What a model made of the questions of a task, to be searched for."""
        return self.of(f"{MODEL}/{{rewriting}}/search_texts/{{task}}.jsonl")

    @property
    def rewritten_retrieved(self) -> str:
        """What a search finds for these texts."""
        return self.of(f"{MODEL}/{{rewriting}}/retrievals/{{task}}.{{search}}.jsonl")

    @property
    def rewritten_requests(self) -> str:
        """One batch-input part with these passages, which only that model is sent."""
        return self.of(f"{MODEL}/inputs/{{decoding}}/{{task}}.{{prompt}}.t{{temp}}.p{{part}}.jsonl")

    @property
    def requests(self) -> str:
        """One batch-input part."""
        return self.of("inputs/{decoding}/{task}.{prompt}.t{temp}.p{part}.jsonl")

    @property
    def retest_requests(self) -> str:
        """The requests of a prompt and task that are sent a second time."""
        return self.of(f"inputs/{{decoding}}{RETEST}/{{task}}.{{prompt}}.t{{temp}}.p000.jsonl")

    @property
    def rewritten_retest_requests(self) -> str:
        """The same for one model that rewrote the questions."""
        name = "{task}.{prompt}.t{temp}.p000.jsonl"
        return self.of(f"{MODEL}/inputs/{{decoding}}{RETEST}/{name}")

    @property
    def judge_requests(self) -> str:
        """One batch-input part of what a judge is asked about a trial."""
        return self.of(f"inputs/{JUDGED}/{{judge}}.{{judged_trial}}.t0.0.p{{part}}.jsonl")

    def analysis_requests(self, job: str) -> str:
        """The batch-input part of one thing that is asked for an analysis."""
        return self.of(f"inputs/{ANALYSIS}/{job}.{{analysis}}.t0.0.p000.jsonl")

    def analysis(self, name: str) -> str:
        """A file of one analysis."""
        return self.of(f"analyses/{{analysis}}/{name}")

    @property
    def raw(self) -> str:
        """The answers to one part."""
        return self.of("{backend}/{model}/{decoding}/raw/{task}.{prompt}.t{temp}.p{part}.jsonl")

    @property
    def telemetry(self) -> str:
        """What was measured while one part was answered; further attempts are added to it."""
        stem = "{task}.{prompt}.t{temp}.p{part}"
        return self.of(f"{{backend}}/{{model}}/{{decoding}}/telemetry/{stem}.jsonl")

    @property
    def imported_requests(self) -> str:
        """What stands for one batch-input part in an arm whose answers come from a file."""
        return self.of("imported/{prompt}/inputs/{task}.{prompt}.t{temp}.p{part}.jsonl")

    @property
    def imported_raw(self) -> str:
        """The answers to one part, from a file."""
        return self.of("imported/{prompt}/default/raw/{task}.{prompt}.t{temp}.p{part}.jsonl")

    def batch_job(self, state: str) -> str:
        """The batch jobs of one part when they are ``submitted`` or ``completed``."""
        stem = "{backend}/{model}/{decoding}/jobs/{task}.{prompt}.t{temp}.p{part}"
        return self.of(f"{stem}.{state}.json")

    @property
    def check(self) -> str:
        """What was found out about a model before it was asked."""
        return self.of("{backend}/{model}/check.txt")

    @property
    def comparisons(self) -> str:
        """Trials, treatments, temperatures and parts of the items against each other."""
        return self.of("comparisons.json")

    def trial(self, name: str) -> str:
        """A file of one trial."""
        return self.of(f"{TRIAL}/{name}")

    @property
    def inspect_log(self) -> str:
        """One arm's answers to a task at a temperature, for Inspect AI."""
        return self.trial("inspect/{task}.{condition}.t{temp}.eval")

    @property
    def evaluation(self) -> str:
        """The folder of one arm's answers to a task at a temperature, for Every Eval Ever."""
        return self.trial("every_eval_ever/{task}.{condition}.t{temp}")

    @property
    def hub_results(self) -> str:
        """One arm's scores on benchmarks of the Hugging Face Hub."""
        return self.trial("eval_results/{task}.{condition}.t{temp}.yaml")

    @property
    def run_crate(self) -> str:
        """A trial's files with how each was made."""
        return self.trial("ro-crate.zip")

    @property
    def label_page(self) -> str:
        """The page on which people label a trial's responses; no rule's output: it is kept."""
        return self.trial("labels/page.html")

    @property
    def label_key(self) -> str:
        """Which response is behind each number of that page; kept like the page."""
        return self.trial("labels/key.csv")

    def seal(self, rule: str) -> str:
        """What a rule's command read and wrote of a trial."""
        return self.trial(f"seals/{rule}.json")

    def wave(self, name: str) -> str:
        """A file of one wave of a trial."""
        return self.trial(f"waves/{{wave}}/{name}")

    def log(self, rule: str, about: str = "") -> str:
        """The log of a rule's job."""
        return self.of("/".join(filter(None, ("logs", rule, about))) + ".log")

    def benchmark(self, rule: str, about: str = "") -> str:
        """Time and memory of a rule's job."""
        return self.of("/".join(filter(None, ("benchmarks", rule, about))) + ".tsv")
