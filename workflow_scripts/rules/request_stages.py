"""The settings of the stages that make items and requests; see stages.py."""

from __future__ import annotations

from ..answers.imported import ImportSettings
from ..config import arms, trials
from ..datasets.items import DatasetSettings, PrepareSettings
from ..datasets.settings import Download
from ..requests.parts import BuildSettings
from .experiment import Job


def download(job: Job) -> Download:
    """Settings for the download of a data set that has a URL."""
    spec = job.config.datasets[job.wildcards["dataset"]]
    return Download(url=spec.url or "", sha256=spec.sha256 or "")


def prepare(job: Job) -> PrepareSettings:
    """Settings for the items of one task."""
    config = job.config
    return PrepareSettings(
        datasets={
            name: DatasetSettings(
                format=spec.format,
                member=spec.member,
                columns=spec.columns,
                limit=config.sizes.get(name, config.limit_items),
            )
            for name, spec in job.experiment.datasets(job.wildcards["task"]).items()
        },
        sample_seed=config.sample_seed,
    )


def build(job: Job) -> BuildSettings:
    """Settings for the requests of one task and temperature."""
    config, task, temp = job.config, job.wildcards["task"], job.wildcards["temp"]
    own = job.experiment.prompts[job.wildcards["prompt"]]
    files = job.experiment.templates(job.wildcards).items()
    return BuildSettings(
        task=task,
        temp=temp,
        templates={name: path.as_posix() for name, path in files},
        samples_per_item=config.samples_per_item.get(temp, 1),
        decoding=job.experiment.decodings[job.wildcards["decoding"]],
        seed=config.seed,
        parts=trials.parts(config),
        options=arms.options(config, own).get(task, {}),
        shuffle_seed=config.sample_seed if len(job.experiment.waves) > 1 else None,
    )


def imported(job: Job) -> ImportSettings:
    """Settings for the answers of an arm to one task, from their file."""
    config, arm = job.config, job.wildcards["prompt"]
    return ImportSettings(
        arm=arm,
        task=job.wildcards["task"],
        temp=job.wildcards["temp"],
        parts=trials.parts(config),
        file=job.experiment.answers[arm],
        shuffle_seed=config.sample_seed if len(job.experiment.waves) > 1 else None,
    )
