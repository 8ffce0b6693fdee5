"""The settings of each stage, made from the config: the slice that the stage reads.

A stage's settings file is named after its content, so Snakemake sees a job's input change exactly
when its settings do, and a plan for another config never touches the files of a running one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..build.audit import AuditSettings
from ..build.parts import BuildSettings
from ..costs.local import CostSettings
from ..files import write_text
from ..infer.check import CheckSettings
from ..infer.settings import InferSettings
from ..parse.parts import ParseSettings, TrialParts
from ..prepare.items import DatasetSettings, PrepareSettings
from ..records import Task
from ..score.items import ScoreSettings
from ..score.sensitivity import SensitivitySettings
from ..score.text import EVALUATIONS
from ..stats.settings import StatsSettings
from . import trials
from .schema import BackendSettings, Block, Config, DatasetSpec, Download
from .trials import FrontSettings, Trial


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


def build(config: Config, decoding: str, task: Task, temp: str) -> BuildSettings:
    """Settings for the requests of one task and temperature."""
    return BuildSettings(
        task=task,
        temp=temp,
        samples_per_item=config.samples_per_item.get(temp, 1),
        decoding=trials.decodings(config)[decoding],
        seed=config.seed,
        parts=trials.parts(config),
    )


def infer(config: Config, backend: str, model: str) -> InferSettings:
    """Settings for the answers of one model."""
    return InferSettings(backend=_backend(config, backend, model), max_retries=config.max_retries)


def check(config: Config) -> CheckSettings:
    """Settings for looking at all backends and models."""
    return CheckSettings(
        backends={
            f"{backend}/{model}": settings
            for backend, of_backend in trials.backends(config).items()
            for model, settings in trials.models(config, of_backend).items()
        }
    )


def check_one(config: Config, backend: str, model: str) -> CheckSettings:
    """Settings for looking at one of them."""
    return CheckSettings(backends={f"{backend}/{model}": _backend(config, backend, model)})


def decides(config: Config, backend: str, model: str) -> str:
    """What of `infer`'s settings can change an answer.

    Threads, time-outs, retries and the like cannot, so a change of them re-runs nothing.
    """
    settings = _backend(config, backend, model)
    return json.dumps(settings.model_dump(include={"local_model", "model_id", "n_ctx"}))


def parts(config: Config, trial: Trial) -> TrialParts:
    """The parts of a trial."""
    return TrialParts(
        inputs_folder=f"results/{config.experiment}/inputs/{trial.decoding_name}",
        raw_folder=trial.raw_folder,
        arms={
            condition: trials.part_names(config, arm.prompt)
            for condition, arm in trial.arms.items()
        },
    )


def parse(config: Config, trial: Trial) -> ParseSettings:
    """Settings for gathering the answers of a trial."""
    return ParseSettings(parts=parts(config, trial), max_failure_share=config.max_failure_share)


def score(config: Config) -> ScoreSettings:
    """Settings for scoring."""
    return ScoreSettings(
        unsupported=config.unsupported,
        abstention_phrases=config.abstention_phrases,
        evaluations={
            name: spec.format
            for name, spec in config.datasets.items()
            if spec.format in EVALUATIONS
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


def costs(config: Config, trial: Trial) -> CostSettings:
    """Settings for the costs of a trial."""
    model = _backend(config, trial.backend, trial.model).model
    return CostSettings(parts=parts(config, trial), price=config.pricing.get(model))


def audit(config: Config, trial: Trial) -> AuditSettings:
    """Settings for measuring the prompts of a trial."""
    backend = _backend(config, trial.backend, trial.model)
    own = backend.model if backend.engine == "llama_cpp" else None
    return AuditSettings(
        parts=parts(config, trial),
        arms=trial.arms,
        tokenizer=backend.tokenizer or own,
        n_ctx=backend.n_ctx,
    )


def front(config: Config) -> FrontSettings:
    """Settings for the front page."""
    return FrontSettings(title=config.title, note=config.note, trials=trials.trials(config))


def _backend(config: Config, backend: str, model: str) -> BackendSettings:
    return trials.models(config, trials.backends(config)[backend])[model]
