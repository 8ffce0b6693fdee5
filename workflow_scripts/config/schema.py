"""The schema of a config file: every key, its type, its default and what it means."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from ..records import Decoding, Task
from .prompts import CONTROL, prompt_name, prompt_path
from .values import (
    BackendName,
    ByName,
    Checksum,
    Distinct,
    ExperimentName,
    LocalPath,
    Name,
    NotEmpty,
    PromptSetName,
    SamplesByTemp,
    Share,
    Temp,
    WebAddress,
    path_name,
)

BackendKind = Literal["fireworks", "openai", "anthropic", "gemini", "openai_compatible", "local"]
Engine = Literal["ollama", "llama_cpp"]

OLLAMA_ENDPOINT = "http://localhost:11434"

BATCH_BACKENDS = ("fireworks", "openai", "anthropic", "gemini")
"""Backends with a batch API."""


class Block(BaseModel):
    """Base of all config blocks: unknown keys are errors, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where they are no values: Python would count them as 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        if _holds_a_switch(value) and not _takes_a_switch(field.annotation):
            raise ValueError(
                "true and false are no values here; YAML also reads yes, no, on and off as such, "
                "unless they stand in quotes"
            )
        return value


def _holds_a_switch(value: object) -> bool:
    parts: object = [*value, *value.values()] if isinstance(value, dict) else value
    return any(isinstance(part, bool) for part in (parts if isinstance(parts, list) else [parts]))


def _takes_a_switch(annotation: Any) -> bool:
    """Whether true may stand in a value; blocks look at their own fields."""
    if isinstance(annotation, type) and issubclass(annotation, bool | Block):
        return True
    return any(map(_takes_a_switch, get_args(annotation)))


def _server_url(url: str) -> str:
    """Refuse what is not the address of a server."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise ValueError(f"not the address of a server: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("not the address of a server, such as http://localhost:11434")
    if parts.username is not None:
        raise ValueError("credentials do not belong into the address; see docs/backends.md")
    return url


class BackendFields(Block):
    """Where text comes from; at the top level of a config and in each of its ``backends``."""

    backend: BackendKind = Field("fireworks", description="Which kind of backend answers.")
    local_engine: Engine | None = Field(None, description="With backend local: the engine.")
    local_endpoint: Annotated[str, AfterValidator(_server_url)] | None = Field(
        None,
        description="Address of the Ollama (default: http://localhost:11434) or "
        "OpenAI-compatible server; with a hosted backend: a gateway to ask instead.",
    )
    local_model: str | None = Field(None, description="Ollama tag, or path of a GGUF file.")
    model_id: str | None = Field(None, description="The provider's name of the model.")
    model_version: NotEmpty | None = Field(
        None,
        description="What answers, in your own words, where a server does not say it (Ollama, "
        "openai_compatible). Another version is another model: it is asked again.",
    )
    tokenizer: str | None = Field(
        None,
        description="GGUF file or tokenizer.json whose tokenizer measures prompts; default: the "
        "model's own.",
    )
    n_ctx: int = Field(2048, ge=1, description="Context length in tokens (local engines).")
    n_gpu_layers: int = Field(0, ge=-1, description="Layers kept on the GPU; -1 is all.")
    n_threads: int | None = Field(
        None, ge=1, description="CPU threads of llama_cpp; default: all cores."
    )
    max_concurrent_requests: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description="Requests in flight at once; auto: as many as the server bears, found out "
        "while it answers. Default: 2 with backend local (small GPUs), auto otherwise.",
    )
    request_timeout_s: float = Field(
        600, gt=0, description="Longest silence of a server, in seconds, before a request failed."
    )
    use_batch_api: bool = Field(
        True,
        description="Hosted backends: send parts as batch jobs, at half the price; false: request "
        "by request.",
    )
    poll_interval_s: float = Field(
        60, gt=0, description="Longest pause between two looks at a batch job, in seconds."
    )


class BackendSettings(BackendFields):
    """One backend with one model, complete: what a client is made from."""

    rivals: dict[str, str | None] = {}
    """The addresses, each with its model_version, at which other backends of the config ask for
    the same model."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.backend == "local":
            if self.local_engine is None:
                raise ValueError("backend 'local' needs local_engine: 'ollama' or 'llama_cpp'")
            if self.local_model is None:
                raise ValueError(
                    "backend 'local' needs local_model: an Ollama tag or the path of a GGUF file"
                )
        elif self.model_id is None:
            raise ValueError(f"backend '{self.backend}' needs model_id, the provider's model name")
        if self.backend == "openai_compatible" and self.local_endpoint is None:
            raise ValueError(
                "backend 'openai_compatible' needs local_endpoint, the server's address, "
                "such as http://localhost:8000"
            )
        return self

    @property
    def address(self) -> str | None:
        """The address of the user's own server, without the path of its interface."""
        if self.engine == "ollama":
            return (self.local_endpoint or OLLAMA_ENDPOINT).rstrip("/")
        if self.engine == "openai_compatible":
            return str(self.local_endpoint).rstrip("/").removesuffix("/v1").rstrip("/")
        return None

    @property
    def engine(self) -> str:
        """The name under which the backend's client is registered."""
        return self.local_engine if self.local_engine and self.backend == "local" else self.backend

    @property
    def concurrency(self) -> int | Literal["auto"]:
        """Requests in flight at once, with the default for this kind of backend."""
        return self.max_concurrent_requests or (2 if self.backend == "local" else "auto")

    @property
    def runs_batches(self) -> bool:
        """Whether parts are sent as jobs of the provider's batch API."""
        return self.use_batch_api and self.backend in BATCH_BACKENDS

    @property
    def model(self) -> str:
        """The model as its backend knows it: a GGUF path, an Ollama tag or a model id."""
        return str(self.local_model if self.backend == "local" else self.model_id)


_TEXT = {"type": "string"}


class PromptSet(Block):
    """Which system prompts are compared: one control and one or more treatments.

    A prompt is a name (``careful`` is prompts/system/careful.txt) or the path of a text file.
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


class Download(Block):
    """A file to download, and how to know that it is the right one."""

    url: str
    sha256: str


Format = Literal["squad_v2", "nq_open", "triviaqa", "jsonl", "csv"]

TASK_OF_FORMAT: dict[str, Task] = {
    "squad_v2": "open_book",
    "nq_open": "closed_book",
    "triviaqa": "closed_book",
}


class DatasetSpec(Block):
    """One data set: a file of a known format, from a path or a URL."""

    format: Format = Field(description="How the file is written.")
    path: LocalPath | None = Field(None, description="A local file (may be gzipped).")
    url: WebAddress | None = Field(
        None, description="Where to download it from, once. Credentials belong into .netrc."
    )
    sha256: Checksum | None = Field(None, description="Checksum of the file at url.")
    member: str | None = Field(None, description="The file inside, when url is an archive.")
    task: Task | None = Field(None, description="Needed for jsonl and csv.")

    @model_validator(mode="after")
    def _one_source_and_a_task(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path (a local file) or url (a download)")
        if self.url is not None and self.sha256 is None:
            raise ValueError("url needs sha256, the checksum of the file")
        if self.url is None and self.sha256 is not None:
            raise ValueError("sha256 belongs to url; a file at path is taken as it is")
        fixed = TASK_OF_FORMAT.get(self.format)
        if fixed is None and self.task is None:
            raise ValueError(f"format '{self.format}' needs task: 'open_book' or 'closed_book'")
        if fixed is not None and self.task not in (None, fixed):
            raise ValueError(f"format '{self.format}' is always task '{fixed}'")
        return self

    @property
    def file_name(self) -> str:
        """The name under which the download is kept."""
        return path_name(PurePosixPath(urlsplit(self.url or "").path).name) or "data"

    @property
    def the_task(self) -> Task:
        """The task that this data set's items are put to."""
        return self.task or TASK_OF_FORMAT[self.format]


class MaxNewTokens(Block):
    """Longest answer per task, in tokens."""

    closed_book: int = Field(32, ge=1, description="Without a passage.")
    open_book: int = Field(32, ge=1, description="With the passage in the prompt.")


class DecodingSettings(Block):
    """How answers are decoded, apart from the temperature."""

    max_new_tokens: MaxNewTokens
    top_p: float | None
    top_k: int | None
    stop: list[str]

    def request(self, task: Task, temp: str, seed: int) -> Decoding:
        """The decoding parameters of one request."""
        return Decoding(
            temperature=float(temp),
            max_new_tokens=getattr(self.max_new_tokens, task),
            top_p=self.top_p,
            top_k=self.top_k,
            stop=self.stop,
            seed=seed,
        )


Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rates(Block):
    """US dollars per million tokens."""

    input_per_million: Dollars = Field(description="Prompt tokens.")
    output_per_million: Dollars = Field(description="Generated tokens, thoughts included.")
    cached_input_per_million: Dollars | None = Field(
        None, description="Prompt tokens from the provider's cache; absent: as the others."
    )
    cache_write_per_million: Dollars | None = Field(
        None,
        description="Prompt tokens put into that cache; absent: at Anthropic 1.25 times "
        "the others, else as the others.",
    )
    cache_write_1h_per_million: Dollars | None = Field(
        None,
        description="The same where the cache keeps them for an hour (Anthropic's batches); "
        "absent: there twice the others.",
    )


class LongPrompts(Rates):
    """Prices of a whole request whose prompt is long, in US dollars per million tokens."""

    over_tokens: int = Field(ge=1, description="Longer prompts than this.")


class Price(Rates):
    """Price of a model in US dollars per million tokens."""

    batch_discount: Share | None = Field(
        None, description="Share taken off in batch jobs; absent: the provider's."
    )
    long_prompts: LongPrompts | None = Field(
        None, description="Prices of requests with long prompts; absent: the same."
    )


class Unsupported(Block):
    """When an answer counts as not supported by its passage."""

    strategy: Literal["baseline", "overlap", "sentence", "nli"] = Field(
        "overlap",
        description="baseline: the answer does not occur in the passage; "
        "overlap: too few of its tokens do; sentence: no single sentence has the tokens of "
        "question and answer; nli: an entailment model finds it unlikely.",
    )
    threshold: Share = Field(
        0.5,
        description="Least share of tokens that must be in the passage (overlap) or in one "
        "sentence (sentence), or least probability of entailment (nli).",
    )
    min_token_overlap: int = Field(
        1, ge=0, description="Least number of tokens of the answer (overlap, sentence)."
    )
    model: str | None = Field(
        None, description="Folder of the entailment model, in ONNX format (nli)."
    )

    @model_validator(mode="after")
    def _nli_has_a_model(self) -> Self:
        if self.strategy == "nli" and self.model is None:
            raise ValueError(
                "strategy 'nli' needs model, the folder of an entailment model; docs/scoring.md "
                "says how to get one"
            )
        return self

    @property
    def model_files(self) -> list[str]:
        """The files of the entailment model; none with the other strategies."""
        if self.strategy != "nli":
            return []
        return [f"{self.model}/{name}" for name in ("model.onnx", "tokenizer.json", "config.json")]


Metric = Literal["em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate"]
"""A column of per_item_scores.csv."""


Stopping = Literal["alpha_spending", "betting"]
"""How a run in waves may stop early: see `workflow_scripts.stats.looks` and ``betting``."""


class Registration(Block):
    """The primary question, declared before the first answer; a changed one is a new one.

    A run records when it first saw the declaration, and the report says whether that was before
    the trial's first answer.
    """

    primary: Metric = Field(description="The metric that decides.")
    direction: Literal["increase", "decrease", "either"] = Field(
        "either", description="Which change is expected; one of a direction is tested one-sided."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Level of the primary family's tests.")
    margin: float | None = Field(
        None,
        gt=0,
        description="The largest difference that counts as none, for the primary metric.",
    )
    secondary: list[Metric] = Field(
        [], description="Metrics of the secondary family; the others are exploratory."
    )
    task: Task | None = Field(None, description="The task that decides; absent: each of them.")
    temp: Temp | None = Field(
        None, description="The temperature that decides; absent: each of them."
    )
    stopping: Stopping = Field(
        "alpha_spending",
        description="How waves decide: `alpha_spending` looks after each declared wave, and "
        "needs about the items of a single look; `betting` bears a look at any moment, and needs "
        "about twice as many.",
    )
    waves: int | None = Field(
        None,
        ge=2,
        description="Ask in so many waves, and no more once the primary question is settled; "
        "absent: ask everything.",
    )

    @model_validator(mode="after")
    def _one_family_each(self) -> Self:
        if self.primary in self.secondary:
            raise ValueError(f"secondary: {self.primary!r} is the primary metric already")
        return self


class Stats(Block):
    """How differences between the arms are tested."""

    bootstrap_samples: int = Field(2000, ge=100, description="Resamples behind an interval.")
    permutation_samples: int = Field(5000, ge=100, description="Sign flips behind a p value.")
    random_seed: int = Field(20260101, ge=0, description="Seed of both.")
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Level of all intervals; q values are held against 1 minus it.",
    )
    risk_thresholds: Distinct[Share] = Field([0.05, 0.1, 0.2], description="For selective risk.")
    tost_alpha: float = Field(0.05, gt=0, lt=0.5, description="Level of equivalence tests.")
    tost_margins: dict[Metric, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {}, description="By metric: the largest difference that counts as none, as a share."
    )
    power: float = Field(0.8, gt=0.05, lt=1, description="Power of the smallest detectable effect.")
    effects: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.01, 0.02, 0.05, 0.1],
        description="Differences for which power.json says how many items they need.",
    )
    registration: Registration | None = Field(
        None, description="The primary question, declared before the first answer."
    )


class Sweep(Block):
    """Lists that expand into trials; an empty list leaves the top-level value."""

    models: Distinct[str] = Field([], description="GGUF paths, Ollama tags or model ids.")
    prompt_sets: Distinct[Name] = Field([], description="Which of the prompt sets to run.")
    temps: Distinct[Temp] = Field([], description="Temperatures; each trial is analysed at each.")
    top_p: Distinct[Annotated[float, Field(gt=0, le=1)]] = Field([], description="Nucleus sizes.")
    top_k: Distinct[Annotated[int, Field(ge=1)]] = Field([], description="Numbers of candidates.")
    max_new_tokens: Distinct[MaxNewTokens] = Field([], description="Limits of answers.")


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

    datasets: ByName[Name, DatasetSpec] = Field(
        min_length=1, description="Data sets by a name of your choice."
    )
    limit_items: int | None = Field(None, ge=1, description="Items per data set, sampled by seed.")
    sizes: ByName[Name, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Items of single data sets; wins over limit_items."
    )
    sample_seed: int = Field(0, description="Seed of that sample.")
    parts_per_dataset: int = Field(1, ge=1, le=1000, description="Parts the requests are cut in.")

    prompt_sets: ByName[PromptSetName, PromptSet] = Field(
        min_length=1, description="Which system prompts are compared."
    )
    default_prompt_set: Name | None = Field(
        None, description="The one prompt set to run; absent: all of them."
    )

    temps: Distinct[Temp] = Field(["0.0"], min_length=1, description="Sampling temperatures.")
    samples_per_item: SamplesByTemp = Field(
        {}, description="Samples per item by temperature; default 1."
    )
    max_new_tokens: MaxNewTokens = Field(MaxNewTokens(), description="Longest answers.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling; absent: off.")
    top_k: int | None = Field(None, ge=1, description="Sample from the k likeliest; absent: off.")
    stop: list[NotEmpty] = Field([], description="Texts that end an answer.")
    seed: int = Field(0, description="Seed of sampled answers.")

    max_failure_share: Share = Field(0.05, description="More failed requests stop the trial.")
    max_batch_jobs: int = Field(
        8, ge=1, description="Parts that are with a batch API at once; --resources batch_jobs=N."
    )
    max_retries: int = Field(2, ge=0, description="Further tries of a failing request.")
    abstention_phrases: list[str] = Field(
        [], description="Further phrases that mean 'I don't know'."
    )
    unsupported: Unsupported = Field(
        Unsupported(), description="When an answer is not supported by its passage."
    )
    stats: Stats = Field(Stats(), description="How differences are tested.")
    pricing: dict[str, Price] = Field(
        {}, description="Prices by model; they win over those in resources/pricing.yaml."
    )
    budget_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="The most that the experiment may pay, in US dollars; see docs/costs.md."
    )
    sweep: Sweep = Field(Sweep(), description="Lists that expand into trials.")
