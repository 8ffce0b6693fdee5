"""The trials that a config names, and the paths of their files.

File-name grammar: ``results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/`` holds a
trial; the answers it shares with other trials lie in ``…/{decoding}/raw/``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..core.prompts import CONTROL
from ..core.recorded import IMPORTED, AnswersFile
from ..core.records import TaskName
from . import arms, decodings, models, same
from .arms import Place
from .schema import ArmOverrides, Config, Overrides
from .trial import Arm, DecodingSettings, Trial


def active_prompt_sets(config: Config) -> list[str]:
    """The prompt sets to run: the swept ones, else the default one, else all."""
    if config.sweep.prompt_sets:
        return list(config.sweep.prompt_sets)
    if config.default_prompt_set:
        return [config.default_prompt_set]
    return list(config.prompt_sets)


def references(config: Config) -> list[str]:
    """The arms and prompts in use, each once."""
    named = (arms.conditions(config, each).values() for each in active_prompt_sets(config))
    return list(dict.fromkeys(itertools.chain.from_iterable(named)))


def prompts(config: Config) -> dict[str, ArmOverrides]:
    """What the texts of requests are made from, by the name that the requests carry."""
    return {
        arms.request_name(config, each): arms.overrides_of(config, each)
        for each in references(config)
        if not models.is_file(config, each)
    }


def files_of_answers(config: Config) -> dict[str, AnswersFile]:
    """The files of the arms in use that are read and not asked, by the arm's name."""
    return {
        each: config.arms[each].answers_file
        for each in references(config)
        if models.is_file(config, each)
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


def part_names(config: Config, prompt: str, of_temps: list[str], of_parts: list[str]) -> list[str]:
    """The file names (without folder) of these parts of a prompt at these temperatures."""
    return [
        f"{task}.{prompt}.t{temp}.p{part}.jsonl"
        for task in tasks(config)
        for temp in of_temps
        for part in of_parts
    ]


def trials(config: Config) -> list[Trial]:
    """All trials of the experiment, in the order of the config.

    At the very place that it names, an arm asks what its control asks: there it is left out, and so
    is a trial without any other treatment. So is one that sends what another sends.
    """
    return _made(config)[0]


def left_out(config: Config) -> list[str]:
    """What the config names and `trials` leaves out because something else sends the same."""
    return list(dict.fromkeys(_made(config)[1]))


def _made(config: Config) -> tuple[list[Trial], list[str]]:
    """The trials, and what is left out because it sends the same."""
    found: list[Trial] = []
    notes: list[str] = []
    seen: dict[tuple[str, ...], str] = {}
    for (engine, decoding, place), prompt_set in _places_of_sets(config):
        compared = _compared(config, prompt_set, place)
        if len(compared) < 2:
            continue
        of = f"{place.backend}, {place.model_id}"
        asked = [arm for arm in compared.values() if arm.answers is None]
        asked_at = same.stand_ins(config, asked, tasks(config))
        kept = [temp for temp in asked_at if asked_at[temp] == temp]
        notes += _about_temperatures(of, asked, asked_at)
        if asked:
            place_of = (place.backend, place.model, prompt_set)
            key = (*place_of, *kept, same.said(asked, tasks(config), kept))
            if (other := seen.setdefault(key, decoding)) != decoding:
                notes.append(
                    f"{of}: the decodings {other} and {decoding} send the same; {other} is asked "
                    "for both"
                )
                continue
        names = (config.experiment, place.backend, place.model, decoding, prompt_set)
        found.append(
            Trial(
                experiment=config.experiment,
                title=config.title,
                note=config.note,
                backend=place.backend,
                engine=engine,
                model=place.model,
                decoding_name=decoding,
                decoding=_decoding(config, place),
                prompt_set=prompt_set,
                arms=compared,
                temps=kept,
                folder="/".join(("results", *names)),
            )
        )
    return found, notes


def _about_temperatures(of: str, asked: list[Arm], asked_at: dict[str, str]) -> Iterator[str]:
    """Which temperatures a trial names and cannot compare.

    Args:
        of: the backend and the model.
        asked: the arms that a model is asked for.
        asked_at: each temperature with the one that is asked for it.
    """
    kept = list(dict.fromkeys(asked_at.values()))
    for one in kept:
        alike = [temp for temp in asked_at if asked_at[temp] == one]
        if len(alike) > 1:
            yield (
                f"{of}: temperatures {' and '.join(alike)} cannot be compared, because the model "
                f"takes no temperature. They send the same, so {one} alone is asked"
            )
    for arm in asked:
        if len(kept) > 1 and not arm.takes_temperature:
            yield (
                f"{of}: temperatures {' and '.join(kept)} cannot be compared in “{arm.name}”, "
                f"because {arm.model_id} takes no temperature"
            )


def _decoding(config: Config, place: Place) -> DecodingSettings:
    """The decoding of a trial, without what its arms change."""
    known = models.backends(config)
    if place.backend not in known:  # nothing is asked
        return decodings.settings_of(config, place.overrides)
    return decodings.settings_of(config, decodings.at(place.overrides, known[place.backend]))


def _compared(config: Config, prompt_set: str, place: Place) -> dict[str, Arm]:
    """The control and the treatments that differ from it, by condition."""
    found = {
        condition: arms.arm(config, reference, place)
        for condition, reference in arms.conditions(config, prompt_set).items()
    }
    control = found[CONTROL]
    return {
        condition: arm
        for condition, arm in found.items()
        if condition == CONTROL
        or not {arm.name, control.name} & config.arms.keys()
        or not same.asks_the_same(arm, control, tasks(config), temps(config))
    }


def _places_of_sets(config: Config) -> Iterator[tuple[tuple[str, str, Place], str]]:
    """Each prompt set at each of its places; what no model is asked for has a single one."""
    asked = []
    for prompt_set in active_prompt_sets(config):
        references = arms.conditions(config, prompt_set).values()
        if all(models.is_file(config, each) for each in references):
            place = Place(backend=IMPORTED, model="answers", overrides=Overrides())
            yield (IMPORTED, "default", place), prompt_set
        else:
            asked.append(prompt_set)
    if asked:
        yield from itertools.product(_places(config), asked)


def _places(config: Config) -> Iterator[tuple[str, str, Place]]:
    """Each backend, model and decoding of trials, with the engine and the decoding's name."""
    for name, backend in models.backends(config).items():
        for model in models.models_of_trials(config, backend):
            for overrides in decodings.swept(config):
                place = Place(
                    backend=name,
                    model=models.model_name(model),
                    engine=backend.engine,
                    model_id=model,
                    overrides=overrides,
                )
                here = decodings.at(overrides, backend)
                yield backend.engine, decodings.name_of(config, here), place
