"""The backends and models that a config asks, by their names in paths."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ..backends.settings import (
    NAMING_A_SERVER,
    OF_ONE_SERVER,
    BackendFields,
    BackendSettings,
)
from ..core.errors import UserError
from ..core.records import Reasoning
from ..core.values import path_name
from ..retrieval.embedders.settings import LearnedFields
from .schema import Config


def asks_a_model(config: Config) -> bool:
    """Whether some prompt set has an arm whose answers are no file."""
    return any(
        not is_file(config, reference)
        for chosen in config.prompt_sets.values()
        for reference in (chosen.control, *chosen.treatment)
    )


def is_file(config: Config, reference: str) -> bool:
    """Whether a prompt set's reference is an arm whose answers come from a file."""
    own = config.arms.get(reference)
    return own is not None and own.answers is not None


def backends(config: Config) -> dict[str, BackendSettings]:
    """The configured backends by the name that stands in paths; none where nothing is asked."""
    if not asks_a_model(config) and not config.analyses:
        return {}
    if not config.backends:
        settings = _merged(config, BackendFields())
        return {settings.engine: settings}
    return {name: _merged(config, override) for name, override in config.backends.items()}


def judges(config: Config) -> dict[str, BackendSettings]:
    """What the judges are asked through, by the name that stands in paths: ``judge-{name}``."""
    return {
        judge_backend(name): _merged(config, judge)
        for name, judge in config.judges.items()
        if judge.asks
    }


def _merged(config: Config, own: BackendFields) -> BackendSettings:
    """Return a backend's settings: its own, else those of the top level.

    What is about one server is never passed on to another: its headers may hold a key.
    """
    shared, given = _given(config), _given(own)
    if given.keys() & NAMING_A_SERVER:
        shared = {name: value for name, value in shared.items() if name not in OF_ONE_SERVER}
    return BackendSettings(**{**shared, **given})


def _given(block: BackendFields) -> dict[str, Any]:
    """Return the keys about backends that a block sets."""
    return {
        name: getattr(block, name)
        for name in BackendFields.model_fields
        if name in block.model_fields_set
    }


def judge_backend(name: str) -> str:
    """What a judge is called among the backends."""
    return f"judge-{name}"


def models_of_trials(config: Config, backend: BackendSettings) -> list[str]:
    """The models of a backend that trials are about: the swept ones, or its own."""
    return config.sweep.models or [backend.model]


def models(config: Config) -> dict[tuple[str, str], BackendSettings]:
    """The complete settings of each model that is asked: in a trial, in an arm, as a judge.

    Raises:
        UserError: two models would share one name in paths.
    """
    of_arms, of_judges = backends(config), judges(config)
    known = {**of_arms, **of_judges}
    asked = {name: _models_of(config, name, backend) for name, backend in of_arms.items()}
    asked |= {name: [backend.model] for name, backend in of_judges.items()}
    found: dict[tuple[str, str], BackendSettings] = {}
    for name, backend in known.items():
        called: dict[str, str] = {}
        for model in asked[name]:
            in_paths = model_name(model)
            other = called.setdefault(in_paths.casefold(), model)
            if other != model:
                raise UserError(
                    f"the models {model!r} and {other!r} would both be called {in_paths!r} in "
                    "paths. Rename one of the files or give it its own experiment."
                )
            rivals = {
                each.address: each.model_version
                for rival, each in known.items()
                if each.engine == backend.engine
                and each.address is not None
                and each.address != backend.address
                and model in asked[rival]
            }
            update: dict[str, Any] = {backend.model_key: model, "rivals": rivals}
            if wanted := _reasonings(config, name, backend):
                update["reasonings"] = wanted
            found[name, in_paths] = backend.model_copy(update=update)
    return found


def _reasonings(config: Config, name: str, backend: BackendSettings) -> list[Reasoning]:
    """What is asked of a backend's models as ``reasoning``."""
    found = [] if backend.reasoning is None else [backend.reasoning]
    if name in backends(config):
        found = list(config.sweep.reasoning) or found
        found += [
            arm.reasoning
            for arm in config.arms.values()
            if arm.reasoning is not None and arm.backend in (None, name)
        ]
    return [each for number, each in enumerate(found) if each not in found[:number]]


def _models_of(config: Config, name: str, backend: BackendSettings) -> list[str]:
    """The models of a backend that are asked: those of trials, then those of arms alone."""
    of_arms = [
        arm.model or backend.model
        for arm in config.arms.values()
        if (arm.backend == name) or (arm.backend is None and arm.model is not None)
    ]
    return list(dict.fromkeys([*models_of_trials(config, backend), *of_arms]))


@functools.cache  # asked for again by every job of a plan
def model_name(model: str) -> str:
    """A model's name in paths: a GGUF file's stem, or a tag with ``-`` for what is not legal."""
    return path_name(Path(model).stem if model.lower().endswith(".gguf") else model) or "model"


def embedding_models(config: Config) -> list[BackendSettings]:
    """The models that embed chunks and questions."""
    embedders = config.embedders.values()
    return [each.backend() for each in embedders if isinstance(each, LearnedFields)]
