"""The settings of each stage, made from the config: the slice that the stage reads.

A stage's settings file is named after its content, so Snakemake sees a job's input change exactly
when its settings do, and a plan for another config never touches the files of a running one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

from ..answers.jobs import JobsSettings
from ..answers.ledger import SpendingSettings, counted_as
from ..answers.parts import ParseSettings, TrialParts
from ..answers.settings import InferSettings
from ..backends.check import CheckSettings
from ..backends.prices import no_price, quote
from ..backends.settings import BackendFields, BackendSettings
from ..backends.tokens import tokenizer_of
from ..comparisons.settings import StatsSettings, WaveSettings
from ..config import trials
from ..config.schema import Config
from ..config.trials import FrontSettings, Trial
from ..core.block import Block
from ..core.files import write_text
from ..core.prompts import CONTROL, read_prompt
from ..costs.audit import AuditSettings
from ..costs.settings import (
    CostSettings,
    PlannedModel,
    PlannedTrial,
    PlanSettings,
    TrialCostSettings,
)
from ..datasets.formats import FORMATS
from ..datasets.items import DatasetSettings, PrepareSettings
from ..datasets.settings import DatasetSpec, Download
from ..export.inspect_log import InspectSettings
from ..requests.parts import BuildSettings
from ..scoring.sensitivity import SensitivitySettings
from ..tasks.settings import ScoreSettings

_NOT_PLANNED = {
    name: BackendFields.model_fields[name].default
    for name in (
        "n_gpu_layers",
        "n_threads",
        "max_concurrent_requests",
        "request_timeout_s",
        "poll_interval_s",
    )
}
"""Settings of a backend that change neither what is asked nor what it costs."""


def settings_file(folder: str, stage: str, settings: Block) -> str:
    """The path of a stage's settings in ``folder``, written if not there yet in this content."""
    text = json.dumps(settings.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    content = text.encode("utf-8")
    path = Path(folder) / f"{stage}-{hashlib.sha256(content).hexdigest()[:12]}.json"
    if not path.is_file() or path.read_bytes() != content:
        write_text(path, text)
    return path.as_posix()


def datasets_of(config: Config, task: str) -> dict[str, DatasetSpec]:
    """The data sets that are put to ``task``."""
    return {name: spec for name, spec in config.datasets.items() if spec.the_task == task}


def download(config: Config, dataset: str) -> Download:
    """Settings for the download of a data set that has a URL."""
    spec = config.datasets[dataset]
    return Download(url=spec.url or "", sha256=spec.sha256 or "")


def prepare(config: Config, task: str) -> PrepareSettings:
    """Settings for the items of one task."""
    return PrepareSettings(
        datasets={
            name: DatasetSettings(
                format=spec.format,
                member=spec.member,
                limit=config.sizes.get(name, config.limit_items),
            )
            for name, spec in datasets_of(config, task).items()
        },
        sample_seed=config.sample_seed,
    )


def build(config: Config, decoding: str, task: str, temp: str) -> BuildSettings:
    """Settings for the requests of one task and temperature."""
    return BuildSettings(
        task=task,
        temp=temp,
        samples_per_item=config.samples_per_item.get(temp, 1),
        decoding=trials.decodings(config)[decoding],
        seed=config.seed,
        parts=trials.parts(config),
        options=config.task_options.get(task, {}),
        shuffle_seed=config.sample_seed if len(trials.waves(config)) > 1 else None,
    )


def infer(config: Config, backend: str, model: str) -> InferSettings:
    """Settings for the answers of one model."""
    settings = _backend(config, backend, model)
    return InferSettings(
        backend=settings,
        max_retries=config.max_retries,
        spending=_spending(config, settings, backend),
    )


def jobs(config: Config) -> JobsSettings:
    """Settings for looking at the batch jobs of all models."""
    return JobsSettings(
        models={
            f"{backend}/{model}": infer(config, backend, model)
            for backend, of_backend in trials.backends(config).items()
            for model in trials.models(config, of_backend)
            if of_backend.runs_batches
        }
    )


def check(config: Config) -> CheckSettings:
    """Settings for looking at all backends and models."""
    return CheckSettings(
        backends={
            f"{backend}/{model}": settings
            for backend, of_backend in trials.backends(config).items()
            for model, settings in trials.models(config, of_backend).items()
        },
        **_sizes(config),
    )


def check_one(config: Config, backend: str, model: str) -> CheckSettings:
    """Settings for looking at one of them."""
    backends = {f"{backend}/{model}": _backend(config, backend, model)}
    return CheckSettings(backends=backends, **_sizes(config))


def _sizes(config: Config) -> dict[str, int]:
    """The longest answer in tokens and the longest system prompt in bytes."""
    limits = [each.max_new_tokens for each in trials.decodings(config).values()]
    tasks = trials.tasks(config)
    prompts = [read_prompt(path) for path in trials.prompts(config).values()]
    return {
        "max_new_tokens": max(limit[task] for limit in limits for task in tasks),
        "prompt_bytes": max(len(text.encode("utf-8")) for text in prompts),
    }


def decides(config: Config, backend: str, model: str) -> str:
    """What of `infer`'s settings can change an answer.

    Threads, time-outs, retries and the like cannot, so a change of them re-runs nothing.
    """
    settings = _backend(config, backend, model)
    deciding = {"local_model", "model_id", "model_version", "local_endpoint", "n_ctx"}
    return json.dumps(settings.model_dump(include=deciding))


def parts(config: Config, trial: Trial, waves: slice = slice(None)) -> TrialParts:
    """The parts of a trial in some of its waves; in all of them if it does not say which."""
    of_waves = list(itertools.chain.from_iterable(trials.waves(config)[waves]))
    return TrialParts(
        inputs_folder=f"results/{config.experiment}/inputs/{trial.decoding_name}",
        raw_folder=trial.raw_folder,
        arms={
            condition: trials.part_names(config, arm.prompt, of_waves)
            for condition, arm in trial.arms.items()
        },
    )


def parse(config: Config, of_trial: TrialParts) -> ParseSettings:
    """Settings for gathering the answers of a trial's parts."""
    return ParseSettings(parts=of_trial, max_failure_share=config.max_failure_share)


def score(config: Config) -> ScoreSettings:
    """Settings for scoring."""
    return ScoreSettings(
        unsupported=config.unsupported,
        abstention_phrases=config.abstention_phrases,
        own_metrics=dict(config.metrics),
        options=config.task_options,
        evaluations={
            name: evaluation
            for name, spec in config.datasets.items()
            if (evaluation := FORMATS[spec.format].evaluation) is not None
        },
    )


def sensitivity(config: Config) -> SensitivitySettings:
    """Settings for the sweep of the threshold of unsupported answers."""
    return SensitivitySettings(unsupported=config.unsupported, confidence=config.stats.confidence)


def stats(config: Config) -> StatsSettings:
    """Settings for the comparisons."""
    return StatsSettings(
        stats=config.stats,
        samples_per_item=config.samples_per_item,
        tasks={name: spec.the_task for name, spec in config.datasets.items()},
    )


def wave(config: Config, trial: Trial, number: int) -> WaveSettings:
    """Settings for the decision after a trial's first ``number`` waves."""
    return WaveSettings(
        stats=stats(config),
        treatments=[condition for condition in trial.arms if condition != CONTROL],
        temps=trial.temps,
        asked=parts(config, trial, slice(number)),
        planned=parts(config, trial),
        waves_planned=len(trials.waves(config)),
    )


def costs(of_trial: TrialParts) -> CostSettings:
    """Settings for the tokens and times of a trial's parts."""
    return CostSettings(parts=of_trial)


def trial_costs(config: Config, trial: Trial, of_trial: TrialParts) -> TrialCostSettings:
    """Settings for what the answers of a trial's parts cost."""
    backend = _backend(config, trial.backend, trial.model)
    price = quote(backend, config.pricing)
    return TrialCostSettings(
        parts=of_trial,
        model=backend.model,
        tokenizer=tokenizer_of(backend),
        quote=price,
        note=no_price(backend) if price is None else None,
        spending_folder=_spending_folder(config),
    )


def plan(config: Config) -> PlanSettings:
    """Settings for what a run would ask and cost."""
    return PlanSettings(
        experiment=config.experiment,
        spending_folder=_spending_folder(config),
        budget_usd=config.budget_usd,
        models=[
            PlannedModel(
                backend=backend,
                model=model,
                settings=settings.model_copy(update=_NOT_PLANNED),
                quote=quote(settings, config.pricing),
            )
            for backend, of_backend in trials.backends(config).items()
            for model, settings in trials.models(config, of_backend).items()
        ],
        trials=[
            PlannedTrial(
                folder=trial.folder,
                backend=trial.backend,
                model=trial.model,
                parts=parts(config, trial),
                question=wave(config, trial, len(trials.waves(config)))
                if config.stats.registration
                else None,
            )
            for trial in trials.trials(config)
        ],
    )


def audit(config: Config, trial: Trial, of_trial: TrialParts) -> AuditSettings:
    """Settings for measuring the prompts of a trial's parts."""
    backend = _backend(config, trial.backend, trial.model)
    return AuditSettings(
        parts=of_trial,
        arms=trial.arms,
        tokenizer=tokenizer_of(backend).path,
        n_ctx=backend.n_ctx,
    )


def front(config: Config) -> FrontSettings:
    """Settings for the front page."""
    return FrontSettings(title=config.title, note=config.note, trials=trials.trials(config))


def table(config: Config, trial: Trial) -> FrontSettings:
    """Settings for the table of one trial."""
    return FrontSettings(title=config.title, note=config.note, trials=[trial])


def inspect_log(
    config: Config, trial: Trial, of_trial: TrialParts, condition: str, task: str, temp: str
) -> InspectSettings:
    """Settings for the log of one arm's answers to one task at one temperature."""
    backend = _backend(config, trial.backend, trial.model)
    prompt = trial.arms[condition].prompt
    of_log = {f"{task}.{prompt}.t{temp}.p{part}.jsonl" for part in trials.parts(config)}
    return InspectSettings(
        experiment=config.experiment,
        title=config.title,
        backend=trial.backend,
        engine=trial.engine,
        # Not the path of a file on this machine.
        model=trial.model if backend.model_file else backend.model,
        n_ctx=backend.n_ctx,
        prompt_set=trial.prompt_set,
        condition=condition,
        prompt=prompt,
        task=task,
        temp=temp,
        inputs_folder=of_trial.inputs_folder,
        raw_folder=of_trial.raw_folder,
        parts=[name for name in of_trial.arms[condition] if name in of_log],
    )


def _spending(config: Config, settings: BackendSettings, backend: str) -> SpendingSettings | None:
    """How what is paid is written down: not at all where it is nothing, or not known."""
    price = quote(settings, config.pricing)
    if price is None or price.is_free:
        return None
    return SpendingSettings(
        folder=_spending_folder(config),
        engine=settings.engine,
        model=counted_as(backend, settings),
        tokenizer=tokenizer_of(settings),
        quote=price,
        budget_usd=config.budget_usd,
    )


def _spending_folder(config: Config) -> str:
    return f"results/{config.experiment}/spending"


def _backend(config: Config, backend: str, model: str) -> BackendSettings:
    return trials.models(config, trials.backends(config)[backend])[model]
