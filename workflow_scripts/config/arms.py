"""The arms of trials: what a prompt or an entry of ``arms`` asks, and where its parts lie."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..backends.capabilities import takes_temperature
from ..core.block import Block
from ..core.chats import read_chat
from ..core.prompts import CONTROL, prompt_name, prompt_path
from ..core.recorded import IMPORTED
from ..core.records import TaskName
from ..retrieval.settings import REWRITE
from ..tasks.registry import TASKS
from . import decodings
from .models import backends, is_file, model_name
from .schema import ArmOverrides, Config, Overrides
from .trial import Arm, Template


class Place(Block):
    """The backend, the model and the decoding of a trial, by their names in paths.

    ``model_id`` is the backend's own name of the model. ``overrides``: what the sweep puts in the
    place of the top-level decoding.
    """

    backend: str
    model: str
    engine: str = ""
    model_id: str = ""
    overrides: Overrides


def conditions(config: Config, prompt_set: str) -> dict[str, str]:
    """Condition -> name of an arm or a prompt. One treatment is called ``treatment``."""
    chosen = config.prompt_sets[prompt_set]
    if len(chosen.treatment) == 1:
        return {CONTROL: chosen.control, "treatment": chosen.treatment[0]}
    return {CONTROL: chosen.control, **{prompt_name(each): each for each in chosen.treatment}}


def arm(config: Config, reference: str, place: Place) -> Arm:
    """Return what a prompt set's reference stands for in a trial."""
    own = overrides_of(config, reference)
    if own.answers is not None:
        return _imported(config, reference, own)
    backend, engine, model_id = place.backend, place.engine, place.model_id
    if own.backend is not None:
        settings = backends(config)[own.backend]
        backend, engine, model_id = own.backend, settings.engine, settings.model
    shape = backends(config)[backend].shape
    model_id = own.model or model_id
    overrides = decodings.of_arm(config, place.overrides, own)
    overrides = decodings.at(overrides, backends(config)[backend])
    chat = read_chat(prompt_path(own.system_prompt))
    decoding, model = decodings.name_of(config, overrides), model_name(model_id)
    results = f"results/{config.experiment}"
    # The passages, and so the requests, depend on who rewrites the questions.
    rewritten = f"/{backend}/{model}" if rewrites(config, own) else ""
    return Arm(
        name=_name(config, reference),
        prompt=request_name(config, reference),
        text=chat.system,
        turns=chat.others,
        templates=templates(config, own),
        options=options(config, own),
        backend=backend,
        model=model,
        engine=engine,
        model_id=model_id,
        takes_temperature=takes_temperature(engine, model_id, overrides.reasoning, shape),
        shape=shape,
        decoding_name=decoding,
        decoding=decodings.settings_of(config, overrides),
        inputs_folder=f"{results}{rewritten}/inputs/{decoding}",
        raw_folder=f"{results}/{backend}/{model}/{decoding}/raw",
    )


def _imported(config: Config, name: str, own: ArmOverrides) -> Arm:
    """An arm whose answers come from a file: the same at every place."""
    folder = f"results/{config.experiment}/{IMPORTED}/{name}"
    return Arm(
        name=name,
        prompt=name,
        text="",
        templates={},
        options=options(config, own),
        backend=IMPORTED,
        model=name,
        decoding_name="default",
        decoding=decodings.settings_of(config, Overrides()),
        inputs_folder=f"{folder}/inputs",
        raw_folder=f"{folder}/default/raw",
        answers=own.answers_file,
    )


def overrides_of(config: Config, reference: str) -> ArmOverrides:
    """What differs in an arm from its trial; of a prompt, the system prompt alone."""
    return config.arms.get(reference) or ArmOverrides(system=reference)


def request_name(config: Config, reference: str) -> str:
    """The name that an arm's requests carry: its own only if it changes more of their texts."""
    own = overrides_of(config, reference)
    if is_file(config, reference) or own.template is not None or own.options:
        return _name(config, reference)
    return prompt_name(own.system_prompt)


def _name(config: Config, reference: str) -> str:
    return reference if reference in config.arms else prompt_name(reference)


def template_files(config: Config, own: ArmOverrides) -> dict[str, Path]:
    """By data set, the file of the text around its items.

    An arm's template wins over the data set's, and that one over prompts/tasks/{task}.txt, which
    need not exist.
    """
    found = {}
    for name, spec in config.datasets.items():
        task = spec.the_task
        given = own.template_of(task) or spec.template
        found[name] = Path(given) if given else TASKS[task].template_path
    return found


def templates(config: Config, own: ArmOverrides) -> dict[str, Template]:
    """By data set, what `template_files` says, with the digests of the texts."""
    found = {}
    for name, path in template_files(config, own).items():
        text = TASKS[config.datasets[name].the_task].read_template(path)
        found[name] = Template(
            file=path.as_posix() if path.is_file() else None,
            sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        )
    return found


def rewrites(config: Config, own: ArmOverrides) -> bool:
    """Whether the model that answers in an arm first rewrites the questions of a task."""
    return any(rewrites_in(config, own, task) for task in options(config, own))


def rewrites_in(config: Config, own: ArmOverrides, task: TaskName) -> bool:
    """Whether it rewrites those of one task."""
    return bool(options(config, own).get(task, {}).get("query") == REWRITE)


def options(config: Config, own: ArmOverrides) -> dict[TaskName, dict[str, Any]]:
    """The options of the tasks in use: those of the arm before those of ``task_options``."""
    found: dict[TaskName, dict[str, Any]] = {}
    for task in sorted({spec.the_task for spec in config.datasets.values()}):
        taken = {
            name: value
            for name, value in own.options.items()
            if name in TASKS[task].options.model_fields
        }
        if given := {**config.task_options.get(task, {}), **taken}:
            found[task] = given
    return found
