"""What the arms of a config must hold beyond its schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import describe
from ..core.prompts import CONTROL, prompt_name
from ..core.records import TaskName
from ..tasks.registry import TASKS, options_of
from ..tasks.task import template_path
from . import arms, trials
from .mistakes import Location, Problem, there_are
from .models import backends
from .schema import ArmOverrides, Config


def named_templates(config: Config) -> Iterator[tuple[Location, TaskName, Path]]:
    """The templates that data sets and arms name, each with its task."""
    for name, spec in config.datasets.items():
        if spec.template is not None:
            yield ("datasets", name, "template"), spec.the_task, Path(spec.template)
    for name, own in config.arms.items():
        for task in trials.tasks(config):
            if (template := own.template_of(task)) is not None:
                yield ("arms", name, "template"), task, Path(template)


def unusable_templates(config: Config) -> Iterator[Problem]:
    """Templates whose fields are not those of their task."""
    of_tasks = ((("datasets",), task, template_path(task)) for task in trials.tasks(config))
    for location, task, path in (*of_tasks, *named_templates(config)):
        try:
            TASKS[task].read_template(path)
        except UserError as error:
            yield location, str(error)


def impossible_arms(config: Config) -> Iterator[Problem]:
    """Arms of unknown backends and options, with a prompt's name, or equal to their control."""
    references = (
        reference
        for chosen in config.prompt_sets.values()
        for reference in (chosen.control, *chosen.treatment)
    )
    named = [each for each in references if each not in config.arms]
    systems = [own.system for own in config.arms.values()]
    prompts = {prompt_name(each).casefold() for each in (*named, *systems)}
    declared = {
        name: None for task in trials.tasks(config) for name in TASKS[task].options.model_fields
    }
    known = backends(config)
    for name, own in config.arms.items():
        if name.casefold() in prompts:
            yield ("arms", name), f"a system prompt is called {name!r} too; rename the arm"
        if own.backend is not None and own.backend not in known:
            problem = f"no backend {own.backend!r}{there_are(own.backend, known)}"
            yield ("arms", name, "backend"), problem
        for option in own.options:
            if option not in declared:
                keys = [*ArmOverrides.model_fields, *declared]
                meant = there_are(option, keys)
                yield (
                    ("arms", name, option),
                    f"neither a key of an arm nor an option of the tasks in use{meant}",
                )
        for task, options in arms.options(config, own).items():
            try:
                options_of(task, {task: options})
            except ValidationError as error:
                yield ("arms", name), f"{task}: {describe(error)}"


def arms_like_their_control(config: Config) -> Iterator[Problem]:
    """Treatments among ``arms``, or against one, that ask what their control asks."""
    for trial in trials.trials(config):
        control = trial.arms[CONTROL]
        for condition, arm in trial.arms.items():
            if condition == CONTROL or not {arm.name, control.name} & config.arms.keys():
                continue
            if not arm.differing(control):
                yield (
                    ("prompt_sets", trial.prompt_set, "treatment"),
                    f"{arm.name!r} asks {arm.model} ({arm.backend}) what the control "
                    f"{control.name!r} asks it: nothing differs",
                )
