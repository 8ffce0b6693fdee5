"""The trials that a config names, and the paths of their files.

File-name grammar: ``results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/`` holds a
trial; the answers it shares with other trials lie in ``…/{decoding}/raw/``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

from ..backends.settings import BackendSettings
from ..core.block import Block
from ..core.errors import UserError
from ..core.placed import Placed
from ..core.prompts import CONTROL, prompt_name, prompt_path, read_prompt
from ..core.records import TaskName
from ..core.values import path_name
from ..tasks.registry import TASKS
from .schema import Config, DecodingSettings


class Arm(Block):
    """One condition of a trial: what is asked, and who answers.

    ``name`` is what the config calls it. Its requests and raw parts are named after ``prompt``:
    arms whose requests have the same texts share them. ``text`` is its system prompt.
    """

    name: str
    prompt: str
    text: str
    backend: str
    model: str
    decoding_name: str
    decoding: DecodingSettings
    inputs_folder: Placed
    raw_folder: Placed


class Trial(Block):
    """One backend × model × prompt set × decoding, compared at each temperature."""

    experiment: str
    title: str | None
    note: str | None
    backend: str
    engine: str
    model: str
    decoding_name: str
    decoding: DecodingSettings
    prompt_set: str
    arms: dict[str, Arm]
    temps: list[str]
    folder: Placed


class FrontSettings(Block):
    """The trials that the front page compares."""

    title: str | None
    note: str | None
    trials: list[Trial]


def backends(config: Config) -> dict[str, BackendSettings]:
    """The configured backends by the name that stands in paths."""
    shared = config.model_dump(include=set(BackendSettings.model_fields), exclude_unset=True)
    if not config.backends:
        settings = BackendSettings(**shared)
        return {settings.engine: settings}
    return {
        name: BackendSettings(**{**shared, **override.model_dump(exclude_unset=True)})
        for name, override in config.backends.items()
    }


def models(config: Config, backend: BackendSettings) -> dict[str, BackendSettings]:
    """The models of a backend by the name that stands in paths, each with complete settings.

    Raises:
        UserError: two models would share one name in paths.
    """
    named: dict[str, BackendSettings] = {}
    called: dict[str, str] = {}
    for model in config.sweep.models or [backend.model]:
        name = _model_name(model)
        other = called.setdefault(name.casefold(), model)
        if other != model:
            raise UserError(
                f"sweep.models: {model!r} and {other!r} would both be called "
                f"{name!r} in paths. Rename one of the files or give it its own experiment."
            )
        rivals = {
            other.address: other.model_version
            for other in backends(config).values()
            if other.engine == backend.engine
            and other.address is not None
            and other.address != backend.address
            and model in (config.sweep.models or [other.model])
        }
        named[name] = backend.model_copy(update={backend.model_key: model, "rivals": rivals})
    return named


@functools.cache  # asked for again by every job of a plan
def _model_name(model: str) -> str:
    """A model's name in paths: a GGUF file's stem, or a tag with ``-`` for what is not legal."""
    return path_name(Path(model).stem if model.lower().endswith(".gguf") else model) or "model"


def decodings(config: Config) -> dict[str, DecodingSettings]:
    """The decoding settings by the name that stands in paths: ``default`` if nothing is swept."""
    sweep = config.sweep
    swept: dict[str, DecodingSettings] = {}
    unswept = (None,)
    named = sorted({*tasks(config), *(task for each in sweep.max_new_tokens for task in each)})
    for top_p, top_k, longest in itertools.product(
        sweep.top_p or unswept, sweep.top_k or unswept, sweep.max_new_tokens or unswept
    ):
        parts = []
        if top_p is not None:
            parts.append(f"top_p{top_p}")
        if top_k is not None:
            parts.append(f"top_k{top_k}")
        if longest is not None:
            parts.append(f"max{'-'.join(str(longest_answer(longest, task)) for task in named)}")
        swept["-".join(parts) or "default"] = DecodingSettings(
            max_new_tokens={
                task: longest_answer(longest or config.max_new_tokens, task)
                for task in tasks(config)
            },
            top_p=config.top_p if top_p is None else top_p,
            top_k=config.top_k if top_k is None else top_k,
            stop=config.stop,
        )
    return swept


def longest_answer(limits: Mapping[str, int], task: str) -> int:
    """The most tokens of an answer: what is configured, or what suits the task."""
    return limits.get(task, TASKS[task].max_new_tokens)


def active_prompt_sets(config: Config) -> list[str]:
    """The prompt sets to run: the swept ones, else the default one, else all."""
    if config.sweep.prompt_sets:
        return list(config.sweep.prompt_sets)
    if config.default_prompt_set:
        return [config.default_prompt_set]
    return list(config.prompt_sets)


def arms(config: Config, prompt_set: str) -> dict[str, str]:
    """Condition -> prompt reference. One treatment is called ``treatment``, several by name."""
    chosen = config.prompt_sets[prompt_set]
    if len(chosen.treatment) == 1:
        return {CONTROL: chosen.control, "treatment": chosen.treatment[0]}
    return {CONTROL: chosen.control, **{prompt_name(each): each for each in chosen.treatment}}


def prompts(config: Config) -> dict[str, Path]:
    """The files of all system prompts in use, by name."""
    return {
        prompt_name(reference): prompt_path(reference)
        for prompt_set in active_prompt_sets(config)
        for reference in arms(config, prompt_set).values()
    }


def temps(config: Config) -> list[str]:
    """The temperatures in use; swept ones replace those at the top level."""
    return list(config.sweep.temps or config.temps)


def tasks(config: Config) -> list[TaskName]:
    """The tasks that the configured data sets are put to."""
    return sorted({spec.the_task for spec in config.datasets.values()})


def parts(config: Config) -> list[str]:
    """The names of the parts: ``000``, ``001``, …"""
    return [f"{number:03d}" for number in range(config.parts_per_dataset)]


def waves(config: Config) -> list[list[str]]:
    """The parts of each wave, in the order they are asked; all in one where none are declared."""
    all_parts = parts(config)
    declared = config.stats.registration
    n = declared.waves if declared and declared.waves else 1
    bounds = [number * len(all_parts) // n for number in range(n + 1)]
    return [all_parts[start:stop] for start, stop in itertools.pairwise(bounds)]


def part_names(config: Config, prompt: str, of_parts: list[str]) -> list[str]:
    """The file names (without folder) of these parts of a prompt."""
    return [
        f"{task}.{prompt}.t{temp}.p{part}.jsonl"
        for task in tasks(config)
        for temp in temps(config)
        for part in of_parts
    ]


def trials(config: Config) -> list[Trial]:
    """All trials of the experiment, in the order of the config."""
    return [
        Trial(
            experiment=config.experiment,
            title=config.title,
            note=config.note,
            backend=backend_name,
            engine=settings.engine,
            model=model_name,
            decoding_name=decoding_name,
            decoding=decoding,
            prompt_set=prompt_set,
            arms={
                condition: Arm(
                    name=prompt_name(reference),
                    prompt=prompt_name(reference),
                    text=read_prompt(prompt_path(reference)),
                    backend=backend_name,
                    model=model_name,
                    decoding_name=decoding_name,
                    decoding=decoding,
                    inputs_folder=f"results/{config.experiment}/inputs/{decoding_name}",
                    raw_folder="/".join(
                        (
                            "results",
                            config.experiment,
                            backend_name,
                            model_name,
                            decoding_name,
                            "raw",
                        )
                    ),
                )
                for condition, reference in arms(config, prompt_set).items()
            },
            temps=temps(config),
            folder="/".join(
                ("results", config.experiment, backend_name, model_name, decoding_name, prompt_set)
            ),
        )
        for backend_name, backend in backends(config).items()
        for model_name, settings in models(config, backend).items()
        for decoding_name, decoding in decodings(config).items()
        for prompt_set in active_prompt_sets(config)
    ]
