"""The commands that make a trial's files, for its provenance: what Snakemake would run, not a copy.

Snakemake has no interface for this. These private parts of version 9.27 are used, and
``tests/test_workflow.py`` compares the commands with those that Snakemake prints:
``Workflow.get_rule``, ``Workflow.configfiles`` and ``Workflow.config_settings``; ``expand_input``,
``expand_output``, ``expand_params``, ``expand_log`` and ``shellcmd`` of a rule; ``is_storage`` and
``storage_object`` of a file; `Wildcards` and ``snakemake.utils.format``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..answers.parts import RETEST
from ..config import trials
from ..config.trial import Trial
from ..judges.requests import TEMP
from ..report.provenance import Step, Steps
from ..retrieval.settings import REWRITE
from .experiment import Experiment, Wildcards, judged_name
from .layout import JUDGED, REWRITTEN

_OF_A_TRIAL = (
    "score",
    "unsupported_sensitivity",
    "registration",
    "stats",
    "costs",
    "cost_effectiveness",
    "trial_report",
)
"""Not the rule that writes this down: its command names the file that its command stands in."""


_OTHERS = {JUDGED: " (judge)", REWRITTEN: " (rewriting)"}
"""What is added to a rule's name that asks something else, by what is in a decoding's place."""


def steps(workflow: Any, experiment: Experiment, wildcards: Wildcards) -> Steps:
    """Return how each file of a trial is made, in the order data flows; of its answers one part.

    Args:
        workflow: Snakemake's.
        experiment: the config.
        wildcards: those of the trial.
    """
    config, trial = experiment.config, experiment.trial(wildcards)
    of_trial = dict(wildcards.items())
    tasks = trials.tasks(config)
    first = {"task": tasks[0], "temp": trial.temps[0], "part": trials.parts(config)[0]}
    asked = {
        (arm.decoding_name, arm.prompt): {
            "decoding": arm.decoding_name,
            "prompt": arm.prompt,
            "backend": arm.backend,
            "model": arm.model,
        }
        for arm in trial.arms.values()
        if arm.answers is None
    }
    imported = [{"prompt": arm.prompt} for arm in trial.arms.values() if arm.answers]
    answering = {
        (arm.backend, arm.model): {
            "backend": arm.backend,
            "model": arm.model,
            **asked[arm.decoding_name, arm.prompt],
        }
        for arm in reversed(trial.arms.values())
        if arm.answers is None
    }
    jobs = [
        *(("items", {"task": task}) for task in tasks),
        *_retrieving(experiment, trial, tasks),
        *(
            (
                "build_rewritten" if each["prompt"] in experiment.rewritten_prompts else "build",
                {**first, **each, "task": task},
            )
            for task in tasks
            for each in asked.values()
        ),
        *(
            ("imported", {**first, **each, "task": task})
            for task in tasks
            for each in reversed(imported)
        ),
        ("differences", of_trial),
        *(
            (rule, {**first, **each})
            for each in reversed(answering.values())
            for rule in _answering(each["backend"] in experiment.batched)
        ),
        *_retesting(experiment, trial, first, of_trial),
        ("parse", of_trial),
        *_judging(experiment, trial, first, of_trial),
        *(
            (name, of_trial)
            for name in _OF_A_TRIAL
            if config.stats.registration or name != "registration"
        ),
    ]
    settings = experiment.layout.of("settings")
    with experiment.one_part():
        found = [_step(workflow.get_rule(name), of_job, settings) for name, of_job in jobs]
    return Steps(options=_options(workflow), steps=found)


def _retrieving(
    experiment: Experiment, trial: Trial, tasks: Iterable[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs that find the passages of a trial's arms, each once."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for task, arm in ((task, arm) for task in tasks for arm in trial.arms.values()):
        if (search := experiment.search_of(arm, task)) is None:
            continue
        for rule, names in experiment.jobs_before(search):
            found.setdefault((rule, str(names)), names)
        names = {"task": task, "search": search.name}
        found.setdefault(("retrieve", str(names)), names)
        if (rewriting := experiment.rewriting_of(arm, task)) is not None:
            of = rewriting._asdict()
            decoding = rewriting.rewriting
            part = {"decoding": decoding, "task": REWRITE, "prompt": task, "temp": TEMP}
            found.setdefault(("rewrite_requests", str(of)), of)
            for rule in _answering(arm.backend in experiment.batched):
                found.setdefault((rule, str(of)), {**of, **part, "part": "000"})
            found.setdefault(("search_texts", str(of)), of)
            names = {**names, **of}
            found.setdefault(("retrieve_rewritten", str(names)), names)
    yield from ((rule, names) for (rule, _), names in found.items())


def _judging(
    experiment: Experiment, trial: Trial, first: dict[str, str], of_trial: dict[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs that judge a trial's responses, with one part of each judge."""
    name = judged_name(trial)
    for judge in experiment.judges:
        yield "judge_requests", {**first, "judge": judge, "judged_trial": name}
        backend, model = experiment.judge_model(judge)
        part = {"decoding": JUDGED, "task": judge, "prompt": name, "temp": TEMP}
        for rule in _answering(backend in experiment.batched):
            yield rule, {**first, **part, "backend": backend, "model": model}
    if experiment.has_verdicts:
        yield "verdicts", of_trial


def _retesting(
    experiment: Experiment, trial: Trial, first: dict[str, str], of_trial: dict[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs that send some requests again, for one arm, if any are."""
    for condition in list(experiment.retested_parts(trial))[:1]:
        arm = trial.arms[condition]
        of_arm = {**first, "decoding": arm.decoding_name, "prompt": arm.prompt}
        yield "retest_requests", of_arm
        if experiment.is_rewritten(arm):
            of_model = {**of_arm, "backend": arm.backend, "model": arm.model}
            yield "retest_requests_rewritten", of_model
        part = {"decoding": f"{arm.decoding_name}{RETEST}", "prompt": arm.prompt, "part": "000"}
        for rule in _answering(arm.backend in experiment.batched):
            yield rule, {**first, **part, "backend": arm.backend, "model": arm.model}
        yield "retest", of_trial


def _answering(batched: bool) -> tuple[str, ...]:
    return ("submit", "poll", "collect") if batched else ("infer",)


def _step(rule: Any, wildcards: dict[str, str], settings_folder: str) -> Step:
    from snakemake.iocontainers import Wildcards as SnakemakeWildcards
    from snakemake.utils import format as format_command

    found = SnakemakeWildcards(fromdict=wildcards)
    inputs, *_ = rule.expand_input(found)
    outputs, _ = rule.expand_output(found)
    params, _ = rule.expand_params(found, inputs, outputs, None)  # of no job: none takes threads
    paths = [_path(each) for each in [*inputs, *params] if isinstance(each, str)]
    settings = [each for each in paths if each.startswith(f"{settings_folder}/")]
    # Another box in the graph of rules than that of the answers, which these wait for.
    decoding = wildcards.get("decoding", "")
    what = " (retest)" if decoding.endswith(RETEST) else _OTHERS.get(decoding.partition("-")[0], "")
    return Step(
        rule=f"{rule.name}{what}",
        inputs=_without_seals(each for each in map(_path, inputs) if each not in settings),
        settings=settings,
        files=_without_seals(map(_path, outputs)),
        code=params.get("code"),
        command=format_command(
            rule.shellcmd,
            input=inputs,
            output=outputs,
            params=params,
            log=rule.expand_log(found),
            wildcards=found,
        ),
    )


def _without_seals(paths: Iterable[str]) -> list[str]:
    """Seals say what a command did; they are no results."""
    return [each for each in paths if Path(each).parent.name != "seals"]


def _path(file: Any) -> str:
    """The path of a file in the results, also if a storage provider holds it."""
    return str(file.storage_object.query if getattr(file, "is_storage", False) else file)


def _options(workflow: Any) -> str:
    """The options that a run with this config needs."""
    files = [os.path.relpath(each) for each in workflow.configfiles]
    found = ["--cores", "2"]
    if files and files != [str(Path("config/config.yaml"))]:
        found += ["--configfile", *(Path(each).as_posix() for each in files)]
    if overrides := workflow.config_settings.config:
        found += ["--config", *(f"{key}={json.dumps(value)}" for key, value in overrides.items())]
    return shlex.join(found)
