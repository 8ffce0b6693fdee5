"""Binds a config to the rules: their input functions and params.

Input functions and params take the wildcards of a job. A param that takes ``output`` too is not
compared with that of the last run. Snakemake's documentation does not promise this;
``tests/test_settings_files.py`` fails when it changes.

These private parts of Snakemake 9.27 are used, and ``tests/test_workflow.py`` fails when one of
them changes: ``configfiles``, ``config_settings.config``, ``dag_settings.targets``, ``until``
and ``omit_from``, ``global_resources``, ``storage_settings`` and ``dag.derived_targetfiles`` of
the workflow.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from snakemake.logging import logger

from ..answers.failures import failed_attempts
from ..comparisons import registration
from ..config.experiment import claim
from ..config.load import load_config
from ..config.mistakes import Sources
from ..core.errors import UserError
from ..core.files import read_settings
from ..costs.records import EmbeddingsPlan
from . import (
    commands,
    corpora_stages,
    gate_exit,
    layout,
    request_stages,
    shared_corpora,
    stages,
)
from .experiment import ALL_WAVES, Experiment, Job, wildcards_of
from .settings_files import SettingsFiles
from .terminal import REPORT

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Waves = Callable[[Any], slice]
InputFunction = Callable[[Any], Any]


def or_exit(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a function end the run with the message of a mistake that a person can correct."""

    @functools.wraps(function)
    def ended(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            sys.exit(f"error: {error}")

    return ended


class Binding:
    """The input functions and params of the rules for one config.

    Args:
        workflow: Snakemake's.
        values: the merged config.
        checkpoints: Snakemake's.
    """

    @or_exit
    def __init__(self, workflow: Any, values: Mapping[str, Any], checkpoints: Any) -> None:
        self._workflow = workflow
        self._checkpoints = checkpoints
        self._started = time.time()
        files = [Path(each) for each in workflow.configfiles]
        config = load_config(values, files=files, overrides=workflow.config_settings.config)
        self.config = config
        self.experiment = Experiment(config)
        self.layout = self.experiment.layout
        if workflow.is_main_process:
            sources = Sources(files, workflow.config_settings.config, {})
            shared_corpora.refuse_different(self.experiment, sources)
        # The first file that a plan writes: a results folder that cannot be written shows here.
        claim(config.experiment, files)
        # Written now, before any job, so that it is older than the first answer.
        self.declaration = registration.record(config.experiment, config.stats)
        self.files = SettingsFiles(self.layout.of("settings"))
        for stage, job in stages.jobs_of(self.experiment):
            self.files.path(stage, stages.settings_of(stage, job))
        for dataset in self.experiment.downloads:
            self.download_settings({"dataset": dataset})
        for stage, job in corpora_stages.jobs_of_corpora(self.experiment):
            self._corpus_settings(stage, job)
        self.missing_settings = self.files.missing()
        self.untracked_settings = functools.cache(self._untracked_settings)
        self._limit_resources()
        for note in self.experiment.left_out if workflow.is_main_process else ():
            print(f"note: {note}", file=sys.stderr)

    def _limit_resources(self) -> None:
        """Limit jobs on the accelerator and jobs of batch APIs.

        ``--resources`` on the command line replaces the profile's ``gpu=1``. A missing limit would
        let all local jobs run at once, and so would 0: Snakemake scales requests down to it.
        Models on the CPU use all its cores, so one works at a time.
        """
        limits = self._workflow.global_resources
        limits.setdefault("gpu", 1)
        limits.setdefault("cpu_model", 1)
        limits.setdefault("batch_jobs", self.config.max_batch_jobs)
        if getattr(limits["gpu"], "value", limits["gpu"]) == 0:
            raise UserError("--resources gpu=0 would not keep local models from running; use gpu=1")

    # The waves of a trial

    def asked(self, wildcards: Any) -> slice:
        """All waves; if some are declared, those up to the first that settles the question."""
        if len(self.experiment.waves) == 1:
            return ALL_WAVES
        if self._is_cut():  # Snakemake drops jobs behind a checkpoint and has nothing to do
            sys.exit(
                "error: --until and --omit-from do not go with stats.registration.waves; "
                "name files instead"
            )
        number = 0
        for number, _ in enumerate(self.experiment.waves, start=1):
            decision = self._checkpoints.wave.get(**wildcards, wave=number).output[0]
            if json.loads(Path(decision).read_text(encoding="utf-8"))["settled"]:
                break
        return slice(number)

    def this_wave(self, wildcards: Any) -> slice:
        """One wave alone."""
        return slice(int(wildcards.wave) - 1, int(wildcards.wave))

    def waves_so_far(self, wildcards: Any) -> slice:
        """One wave and those before it."""
        return slice(int(wildcards.wave))

    def planned(self, wildcards: Any) -> slice:
        """All waves, whether they are asked or not."""
        return ALL_WAVES

    # Files

    def requests(self, waves: Waves | None = None) -> InputFunction:
        """The batch-input parts of a trial."""
        of_waves = waves or self.asked
        return lambda wildcards: self.experiment.requests(wildcards, of_waves(wildcards))

    def raw(self, waves: Waves | None = None) -> InputFunction:
        """The raw parts of a trial."""
        of_waves = waves or self.asked
        return lambda wildcards: self.experiment.raw(wildcards, of_waves(wildcards))

    def telemetry(self, wildcards: Any) -> list[str]:
        """The telemetry files of a trial's parts, if they are measured."""
        return self.experiment.telemetry(wildcards, self.asked(wildcards))

    def parts_of_all_trials(self, wildcards: Any) -> list[str]:
        """The batch-input parts and the raw parts of all trials."""
        trials = self.experiment.trials
        parts = [self.experiment.parts(each, self.asked(wildcards_of(each))) for each in trials]
        return sorted({file for each in parts for file in each.input_files() + each.raw_files()})

    def embeddings_plan(self, wildcards: Any) -> list[str]:
        """What is still to be embedded and costs something, before `snakemake plan` counts it.

        A run embeds before it counts.
        """
        if not self.experiment.paid_chunks:
            return []
        cut = self._workflow.dag_settings
        plan = {"plan", self.layout.of("plan.json"), self.layout.of("plan.md")}
        is_target = bool(cut.targets) and plan.issuperset(cut.targets)
        # Snakemake drops jobs behind a checkpoint, and without one the plan would embed.
        if plan.intersection(cut.until) or (is_target and self._is_cut()):
            sys.exit(
                "error: --until and --omit-from do not go with a plan of embedders that cost "
                "something; use `snakemake plan`, which embeds nothing that costs money"
            )
        return [self._checkpoints.plan_embeddings.get().output[0]] if is_target else []

    def planned_requests(self, wildcards: Any) -> list[str]:
        """All requests, but for those whose passages wait for embeddings that cost something."""
        waiting: set[str] = set()
        for path in self.embeddings_plan(wildcards):
            waiting = read_settings(Path(path), EmbeddingsPlan).waiting
        estimated = corpora_stages.parts_that_wait(self.experiment, waiting)
        files = {*self.experiment.all_requests(), *self.experiment.all_requests_sent_again()}
        return sorted(files - estimated)

    def requests_of_log(self, wildcards: Any) -> list[str]:
        """The batch-input parts of a log for Inspect AI."""
        return stages.inspect_log(self._job(wildcards, self.asked)).parts.input_files()

    def scores_of_waves(self, wildcards: Any) -> list[str]:
        """The scores of a wave and of those before it."""
        return self._of_waves_so_far("per_item_scores.csv", wildcards)

    def metrics_of_waves(self, wildcards: Any) -> list[str]:
        """The declarations of their metrics."""
        return self._of_waves_so_far("metrics.json", wildcards)

    def _of_waves_so_far(self, name: str, wildcards: Any) -> list[str]:
        path = self.layout.wave(name)
        numbers = range(1, int(wildcards.wave) + 1)
        return [path.format(**{**wildcards, "wave": number}) for number in numbers]

    def last_decision(self, wildcards: Any) -> list[str]:
        """The decision after the last wave that was asked, if there are waves."""
        last = self.asked(wildcards).stop
        decision = self.layout.wave("decision.json")
        return [] if last is None else [decision.format(**wildcards, wave=last)]

    # Settings

    def settings(self, stage: str, waves: Waves | None = None) -> InputFunction:
        """The settings file of a stage: its slice of the config (see settings_files.py)."""

        def path(wildcards: Any) -> str:
            job = self._job(wildcards, waves or self.planned)
            return self.files.path(stage, stages.settings_of(stage, job))

        return path

    def download_settings(self, wildcards: Any) -> str:
        """Not in the experiment's folder: all experiments share downloads."""
        job = Job(self.experiment, wildcards)
        settings = request_stages.download(job)
        return self.files.path(job.wildcards["dataset"], settings, layout.DOWNLOADS)

    def corpus_settings(self, stage: str) -> InputFunction:
        """Not in the experiment's folder: all experiments share corpora."""
        return lambda wildcards: self._corpus_settings(stage, Job(self.experiment, wildcards))

    def _corpus_settings(self, stage: str, job: Job) -> str:
        folder = layout.CORPUS.format(corpus=job.wildcards["corpus"])
        return self.files.path(stage, stages.settings_of(stage, job), f"{folder}/settings")

    def embedding_spending(self, wildcards: Any, output: Any) -> str:
        """The argument with what an embedder costs. Not compared, since it decides no vector."""
        spending = corpora_stages.embedding_spending(Job(self.experiment, wildcards))
        if spending is None:
            return ""
        return f"--spending {self.files.untracked('embedding', spending)}"

    def gate_settings(self, wildcards: Any) -> str:
        """The settings of the gate; a config without one ends the run before its first job."""
        if not self.config.gate:
            sys.exit(
                "error: the config has no gate: list the metrics that must not get worse under "
                "`gate`, each with its margin (docs/gate.md)"
            )
        return self.files.path("gate", stages.gate(Job(self.experiment, {})))

    def retest_settings(self, wildcards: Any) -> list[str]:
        """The settings of a trial's requests that are sent again, if some are."""
        if not self.experiment.is_retested(self.experiment.trial(wildcards)):
            return []
        return [self.settings("retest")(wildcards)]

    def settings_texts(self, wildcards: Any, output: Any) -> list[str]:
        """The contents of the settings files that are missing."""
        return [self.files.text(path) for path in self.missing_settings]

    def sending_settings(self, stage: str) -> Callable[[Any, Any], str]:
        """The settings file of a model, most of which decides no result; see `decided_by`."""
        return lambda wildcards, output: self.untracked_settings(
            stage, wildcards.backend, wildcards.model
        )

    def _untracked_settings(self, stage: str, backend: str, model: str) -> str:
        job = Job(self.experiment, {"backend": backend, "model": model})
        return self.files.untracked(stage, stages.settings_of(stage, job))

    def steps_file(self, wildcards: Any, output: Any) -> str:
        """How a trial's files are made. Not compared: what matters of it, its files show."""
        self.asked(wildcards)  # asks for the checkpoints that a trial's parts wait for
        steps = commands.steps(self._workflow, self.experiment, wildcards)
        return self.files.untracked("provenance", steps)

    # Other params

    @functools.cached_property
    def _decided_by(self) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {}
        for backend, model in self.experiment.models:
            of_model = {"backend": backend, "model": model}
            settings = stages.decides(Job(self.experiment, of_model))
            files = self.experiment.model_files(of_model)
            contents = self.experiment.contents(*files)
            found[backend, model] = {"settings": settings, "files": contents} if files else settings
        return found

    @or_exit
    def decided_by(self, wildcards: Any) -> Any:
        """What of the settings and of a local model's file decides an answer."""
        return self._decided_by[wildcards.backend, wildcards.model]

    @or_exit
    def attempts_with_failures(self, wildcards: Any) -> int:
        """See answers/failures.py: makes the next run try failed requests again."""
        return failed_attempts(Path(self.layout.raw.format(**wildcards)))

    @or_exit
    def scoring_contents(self, wildcards: Any) -> dict[str, str]:
        """The checksums of the files of the entailment model."""
        own = self.experiment.own_metric_files()
        return self.experiment.contents(*self.config.unsupported.model_files, *own)

    @or_exit
    def verdict_contents(self, wildcards: Any) -> dict[str, str]:
        """The checksums of the files of labels and verdicts."""
        return self.experiment.contents(*self.experiment.verdict_files())

    # Before and after a run

    @or_exit
    def start(self) -> None:
        """Write untracked settings, and delete what a gate decided before."""
        self.files.start()
        if self._is_gate_asked():
            gate_exit.forget([self.layout.of(f"gate.{kind}") for kind in ("json", "xml", "md")])

    @or_exit
    def end_with_gate(self) -> None:
        """End a run with the target ``gate`` with the gate's exit code."""
        if self._is_gate_asked() and not self._is_cut():
            gate_exit.end(Path(self.layout.of("gate.json")), self.layout.of("gate.md"))

    def require_targets(self) -> None:
        """End a run without its targets as failed, whatever the reason that they are missing."""
        if self._is_cut() or self._workflow.storage_settings.default_storage_provider:
            return
        targets = self._workflow.dag.derived_targetfiles
        missing = sorted(str(each) for each in targets if not Path(each).exists())
        if missing:
            print(*(f"error: {each} was not made" for each in missing), sep="\n", file=sys.stderr)
            sys.exit("error: this run ended without its targets; run the same command again")

    def say_where_the_report_is(self) -> None:
        """End a run that wrote a report by naming the pages to open."""
        for page in map(Path, (*self.experiment.analysis_files("report.html"), layout.PAGE)):
            if page.exists() and page.stat().st_mtime >= self._started:
                logger.info(f"\n{REPORT}{page.resolve()}")

    def _is_gate_asked(self) -> bool:
        return gate_exit.TARGET in self._workflow.dag_settings.targets

    def _is_cut(self) -> bool:
        cut = self._workflow.dag_settings
        return bool(cut.until or cut.omit_from)

    def _job(self, wildcards: Any, waves: Waves) -> Job:
        return Job(self.experiment, wildcards, waves(wildcards))
