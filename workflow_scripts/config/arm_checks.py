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
from . import arms, trials
from .mistakes import Location, Problem, there_are
from .models import backends, is_file
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
    of_tasks = ((("datasets",), task, TASKS[task].template_path) for task in trials.tasks(config))
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
    systems = [own.system for own in config.arms.values() if own.system is not None]
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
    """Treatments that ask what their control asks, whatever the trial."""
    made = trials.trials(config)
    for prompt_set in trials.active_prompt_sets(config):
        compared = {name for each in made if each.prompt_set == prompt_set for name in each.arms}
        conditions = arms.conditions(config, prompt_set)
        for condition, reference in conditions.items():
            if condition != CONTROL and condition not in compared:
                control = conditions[CONTROL]
                same = f"asks what the control {control!r} asks, of the same model"
                if is_file(config, reference):
                    same = f"has the same file of answers as the control {control!r}"
                yield (
                    ("prompt_sets", prompt_set, "treatment"),
                    f"{reference!r} {same}: nothing that is sent differs",
                )
