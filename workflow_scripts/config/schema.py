"""The schema of a config file: every key, its type, its default and what it means."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..backends.prices import Price
from ..backends.settings import BackendFields
from ..core.block import Block
from ..core.files import describe
from ..core.prompts import CONTROL, prompt_name, prompt_path
from ..core.recorded import AnswersFile
from ..core.records import Reasoning
from ..core.registry import NameIn
from ..core.values import (
    BackendName,
    ByName,
    Distinct,
    ExperimentName,
    LocalPath,
    MetricKey,
    Name,
    NotEmpty,
    PromptSetName,
    SamplesByTemp,
    Share,
    Temp,
)
from ..datasets.answer_formats import ANSWER_FORMATS, format_of
from ..datasets.settings import DatasetSpec
from ..judges.settings import Judge, Undecided
from ..labels.settings import Labelling
from ..metrics.correctness import Correctness
from ..metrics.settings import OwnMetric, Unsupported
from ..plans.settings import Analysis
from ..retrieval.embedders.settings import Embedders
from ..retrieval.settings import ChunkingSettings, CorpusSettings, RetrievalName
from ..stats.settings import GateCheck, Stats
from ..tasks.registry import KnownTask, options_of

_TEXT = {"type": "string"}


class PromptSet(Block):
    """Which system prompts are compared: one control and one or more treatments.

    A prompt is a name (``careful`` is prompts/system/careful.txt), the path of a file with a text
    or a chat, or one of ``arms``.
    """

    control: str = Field(description="The prompt that the others are compared with.")
    treatment: Annotated[
        list[str],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT}]}),
    ] = Field(min_length=1, description="The prompt to test, or a list of them.")

    @model_validator(mode="after")
    def _arms_are_told_apart(self) -> Self:
        control = prompt_path(self.control).resolve()
        names: set[str] = set()
        for reference in self.treatment:
            name = prompt_name(reference)
            if prompt_path(reference).resolve() == control:
                raise ValueError(
                    f"treatment {reference!r} is the control's own file: "
                    "it would be compared with itself"
                )
            if name.casefold() in names:
                raise ValueError(
                    f"two of the treatments are called {name!r}; each needs a name of its own"
                )
            if name.casefold() == CONTROL and len(self.treatment) > 1:
                raise ValueError(
                    f"treatment {reference!r}: among several treatments none may be called "
                    f"{CONTROL!r}, which names the other side of every comparison; rename the file"
                )
            names.add(name.casefold())
        return self


MaxNewTokens = dict[KnownTask, Annotated[int, Field(ge=1)]]
"""Longest answer in tokens, by task."""


def _options_that_tasks_take(given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for task in given:
        try:
            options_of(task, given)
        except ValidationError as error:
            raise ValueError(f"{task}: {describe(error)}") from error
    return given


class DecodingOverrides(Block):
    """Decoding that replaces the values at the top level."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="Nucleus size.")
    top_k: Annotated[int, Field(ge=1)] | None = Field(None, description="Number of candidates.")
    max_new_tokens: MaxNewTokens | None = Field(None, description="Longest answers, by task.")
    stop: list[NotEmpty] | None = Field(None, description="Texts that end an answer.")


class Overrides(DecodingOverrides):
    """What a sweep, an arm or a backend has in the place of what its trial has."""

    reasoning: Reasoning | None = None
    logprobs: bool = False


class ArmOverrides(Block):
    """One arm: settings that replace those of its trial, or a file of its answers.

    Further keys are options that a task declares (docs/extending.md).
    """

    model_config = ConfigDict(extra="allow")

    system: str | None = Field(
        None,
        description="Its system prompt: a name or the path of a text file. Required without "
        "`answers`.",
    )
    template: str | dict[KnownTask, str] | None = Field(
        None, description="File of the text around an item, or such files by task."
    )
    decoding: DecodingOverrides = Field(DecodingOverrides(), description="How it decodes.")
    reasoning: Reasoning | None = Field(None, description="How much its model thinks.")
    backend: BackendName | None = Field(None, description="One of `backends`.")
    model: NotEmpty | None = Field(
        None, description="GGUF path, Ollama tag or model id; absent: the backend's."
    )
    answers: LocalPath | None = Field(
        None, description="A file of answers made elsewhere; no model is asked."
    )
    format: Annotated[str, NameIn(ANSWER_FORMATS)] | None = Field(
        None, description="How that file is written; absent: as its name shows."
    )
    member: str | None = Field(None, description="The file inside, if it is an archive.")
    columns: dict[str, NotEmpty] = Field(
        {}, description="The file's own column names, by Assay's names."
    )
    where: dict[str, str] = Field(
        {}, description="Which of the file's answers count, by column or label."
    )

    @model_validator(mode="after")
    def _is_asked_or_read(self) -> Self:
        of_file = {"answers", "format", "member", "columns", "where"}
        given = self.model_fields_set | self.options.keys()
        if self.answers is None:
            if wrong := sorted(given & of_file):
                raise ValueError(f"{', '.join(wrong)}: these keys need answers, a file of answers")
            if self.system is None:
                raise ValueError("an arm needs system, its system prompt, or answers, a file")
            return self
        if wrong := sorted(given - of_file):
            raise ValueError(
                f"its answers come from a file, so nothing is asked: delete {', '.join(wrong)}, or "
                "delete answers to ask a model"
            )
        if self.format is None and format_of(self.answers) is None:
            raise ValueError(
                f"the name of {self.answers!r} does not show its format; give format: "
                f"{' or '.join(ANSWER_FORMATS)}"
            )
        if self.columns and not ANSWER_FORMATS[self.answers_file.format].has_columns:
            raise ValueError(f"columns: format {self.answers_file.format!r} has fixed names")
        return self

    @property
    def answers_file(self) -> AnswersFile:
        """The file of its answers; only of an arm that has one."""
        path = str(self.answers)
        return AnswersFile(
            path=PurePath(path).as_posix(),
            format=self.format or format_of(path) or "",
            member=self.member,
            columns=self.columns,
            where=self.where,
        )

    @property
    def system_prompt(self) -> str:
        """Its system prompt; only of an arm that is asked."""
        return str(self.system)

    @property
    def options(self) -> dict[str, Any]:
        """The options of tasks, by name."""
        return self.model_extra or {}

    def template_of(self, task: str) -> str | None:
        """The file of the text around a task's items, if it has one of its own."""
        return self.template.get(task) if isinstance(self.template, dict) else self.template


class Sweep(Block):
    """Lists that expand into trials; an empty list leaves the top-level value."""

    models: Distinct[str] = Field([], description="GGUF paths, Ollama tags or model ids.")
    prompt_sets: Distinct[Name] = Field([], description="Which of the prompt sets to run.")
    temps: Distinct[Temp] = Field([], description="Temperatures; each trial is analysed at each.")
    top_p: Distinct[Annotated[float, Field(gt=0, le=1)]] = Field([], description="Nucleus sizes.")
    top_k: Distinct[Annotated[int, Field(ge=1)]] = Field([], description="Numbers of candidates.")
    max_new_tokens: Distinct[MaxNewTokens] = Field([], description="Limits of answers.")
    reasoning: Distinct[Reasoning] = Field([], description="How much models think.")


class Config(BackendFields):
    """A whole config file."""

    experiment: ExperimentName = Field(
        "experiment", description="Name of the folder under results/."
    )
    title: str | None = Field(None, description="The report's headline.")
    note: str | None = Field(None, description="A remark that the report shows at its top.")
    backends: ByName[BackendName, BackendFields] = Field(
        {},
        description="Several named backends to compare, each with what differs from the top "
        "level; absent: the one at the top level.",
    )

    analyses: ByName[Name, Analysis] = Field(
        {}, description="Tables and questions, each of which becomes a page; docs/analyses.md."
    )
    datasets: ByName[Name, DatasetSpec] = Field(
        {},
        validate_default=True,
        description="Data sets by a name of your choice; required, as prompt_sets is, unless there "
        "are analyses alone.",
    )
    corpora: ByName[RetrievalName, CorpusSettings] = Field(
        {}, description="Documents to search, by a name of your choice; docs/retrieval.md."
    )
    chunkings: ByName[RetrievalName, ChunkingSettings] = Field(
        {}, description="How documents are cut into chunks, by a name of your choice."
    )
    embedders: Embedders = Field(
        {}, description="How chunks are found, beside bm25 and lsa, which need no entry."
    )
    limit_items: int | None = Field(None, ge=1, description="Items per data set, sampled by seed.")
    sizes: ByName[Name, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Items of single data sets; wins over limit_items."
    )
    sample_seed: int = Field(0, description="Seed of that sample.")
    parts_per_dataset: int = Field(1, ge=1, le=1000, description="Parts the requests are cut in.")

    arms: ByName[Name, ArmOverrides] = Field(
        {},
        description="What can differ from the trial in more than the system prompt: another "
        "model, backend, decoding or instruction; prompt sets name them.",
    )
    prompt_sets: ByName[PromptSetName, PromptSet] = Field(
        {}, validate_default=True, description="Which system prompts are compared."
    )
    default_prompt_set: Name | None = Field(
        None, description="The one prompt set to run; absent: all of them."
    )

    temps: Distinct[Temp] = Field(["0.0"], min_length=1, description="Sampling temperatures.")
    samples_per_item: SamplesByTemp = Field(
        {}, description="Samples per item by temperature; default 1."
    )
    task_options: Annotated[
        dict[KnownTask, dict[str, Any]], AfterValidator(_options_that_tasks_take)
    ] = Field({}, description="Options of tasks that have some, by task; see docs/extending.md.")
    max_new_tokens: MaxNewTokens = Field(
        {},
        description="Longest answers in tokens, by task; absent: as the task says.",
    )
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling; absent: off.")
    top_k: int | None = Field(None, ge=1, description="Sample from the k likeliest; absent: off.")
    stop: list[NotEmpty] = Field([], description="Texts that end an answer.")
    seed: int = Field(0, description="Seed of sampled answers.")

    retest: Share = Field(
        0.0,
        description="Share of the requests that are sent a second time, such as 0.02, to see how "
        "often answers change; docs/report.md.",
    )
    max_failure_share: Share = Field(0.05, description="More failed requests stop the trial.")
    max_batch_jobs: int = Field(
        8, ge=1, description="Parts that are with a batch API at once; --resources batch_jobs=N."
    )
    max_retries: int = Field(2, ge=0, description="Further tries of a failing request.")
    correctness: Correctness | None = Field(
        None,
        description="By what an answer counts as correct: exact (equal to a gold answer), contains "
        "(a gold answer in it), judge, labels; absent: contains, and exact for data sets with an "
        "evaluation of their own. docs/scoring.md.",
    )
    judges: ByName[MetricKey, Judge] = Field(
        {},
        description="Models that judge the responses, each a metric of its name, with what differs "
        "from the backend at the top level; docs/judges.md.",
    )
    labels: LocalPath | None = Field(
        None, description="A file of people's verdicts on responses; see docs/labels.md."
    )
    labelling: Labelling = Field(
        Labelling(), description="Which responses `snakemake label` draws; see docs/labels.md."
    )
    undecided: Undecided = Field(
        "answered",
        description="Responses of which the rules do not say whether they answer, abstain or "
        "refuse: answered, or judge: the judges with measures: refused decide, and are asked about "
        "these alone. docs/judges.md.",
    )
    judge_bar: Share | None = Field(
        None,
        description="The least agreement with people (Cohen's kappa) with which a judge is "
        "believed; below it the report calls no verdict.",
    )
    abstention_phrases: list[str] = Field(
        [], description="Further phrases that mean 'I don't know'."
    )
    metrics: ByName[MetricKey, OwnMetric] = Field(
        {}, description="Your own metrics by name; docs/extending.md shows one."
    )
    unsupported: Unsupported = Field(
        Unsupported(), description="When an answer is not supported by its passage."
    )
    stats: Stats = Field(Stats(), description="How differences are tested.")
    gate: Distinct[GateCheck] = Field(
        [], description="What must not get worse: `snakemake gate`; see docs/gate.md."
    )
    pricing: dict[str, Price] = Field(
        {}, description="Prices by model; they win over those in resources/pricing.yaml."
    )
    budget_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="The most that the experiment may pay, in US dollars; see docs/costs.md."
    )
    telemetry: bool = Field(
        False,
        description="Measure CPU, memory and GPU while models on this machine answer; see "
        "docs/performance.md.",
    )
    sweep: Sweep = Field(Sweep(), description="Lists that expand into trials.")

    @field_validator("datasets", "prompt_sets")
    @classmethod
    def _is_there_unless_only_analyses_are(cls, value: Any, info: ValidationInfo) -> Any:
        others = [info.data.get("analyses"), info.data.get("datasets")]
        if not value and (not others[0] or others[1]):
            raise PydanticCustomError("too_short", "at least one is needed")
        if value and info.field_name == "prompt_sets" and others[1] == {}:
            raise ValueError("they need datasets, which they are compared on")
        return value
