"""What a config must hold beyond its schema: names that exist, and files that are there.

Each check yields all problems that it finds, as the location of a key and what is wrong with it.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..backends.capabilities import problems
from ..backends.llama_cpp import missing
from ..backends.prices import PRICE_TABLE, no_price, price_table, quote
from ..backends.tokens import tokenizer_of
from ..core.chats import read_chat
from ..core.errors import UserError
from ..core.prompts import prompt_name, prompt_path
from ..core.records import Decoding, ItemScores, SampleOutcome
from ..datasets.formats import FORMATS
from ..metrics.text import EVALUATIONS
from ..tasks.registry import TASKS, metrics_of
from . import trials
from .arm_checks import named_templates
from .judge_checks import judging_files
from .mistakes import Location, Problem, there_are
from .models import backends, embedding_models, judge_backend, judges, models
from .schema import Config

_NAMES_SHOWN = 5
_MISSPELT = 0.8  # how like a known name one must be
_UNKNOWN, _THINKS = "Assay knows no model", "thinks before it answers"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def control_characters(value: object, location: Location = ()) -> Iterator[Problem]:
    """Texts that no file name, message or page can show."""
    if isinstance(value, str) and (found := _CONTROL.search(value)):
        yield location, f"has the control character U+{ord(found[0]):04X}; delete it"
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from control_characters(part, (*location, str(key)))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from control_characters(part, (*location, number))


def unknown_names(config: Config) -> Iterator[Problem]:
    """Names of data sets, prompt sets, temperatures and models that the config does not have."""
    for name in config.sizes:
        if name not in config.datasets:
            yield ("sizes", name), f"no data set {name!r}{there_are(name, config.datasets)}"
    chosen: list[tuple[Location, str]] = [
        (("sweep", "prompt_sets", index), name)
        for index, name in enumerate(config.sweep.prompt_sets)
    ]
    if config.default_prompt_set is not None:
        chosen.append((("default_prompt_set",), config.default_prompt_set))
    for location, name in chosen:
        if name not in config.prompt_sets:
            yield location, f"no prompt set {name!r}{there_are(name, config.prompt_sets)}"
    for temp in config.samples_per_item:
        if temp not in trials.temps(config):
            where = "sweep.temps" if config.sweep.temps else "temps"
            yield (
                ("samples_per_item", temp),
                f"temperature {temp} is not in use; {where} has {trials.temps(config)}",
            )
    yield from _unknown_metrics(config)
    for name, spec in config.datasets.items():
        evaluation = FORMATS[spec.format].evaluation
        if evaluation not in (None, *EVALUATIONS):
            yield (
                ("datasets", name, "format"),
                f"format {spec.format!r} names the evaluation {evaluation!r}"
                f"{there_are(str(evaluation), EVALUATIONS)}",
            )
        if spec.evaluation not in (None, *EVALUATIONS):
            yield (
                ("datasets", name, "evaluation"),
                f"no evaluation {spec.evaluation!r}{there_are(str(spec.evaluation), EVALUATIONS)}",
            )
    yield from _undeclarable(config)
    answering = (*models(config).values(), *embedding_models(config))
    asked = {settings.model: None for settings in answering}
    for name in config.pricing:
        if name not in asked:
            yield ("pricing", name), f"no model {name!r} is configured{there_are(name, asked)}"


def impossible_decoding(config: Config) -> Iterator[Problem]:
    """Decoding parameters that a model cannot do."""
    arms = (arm for each in trials.trials(config) for arm in each.arms.values())
    for arm, temp, task in itertools.product(
        (arm for arm in arms if not arm.answers), trials.temps(config), trials.tasks(config)
    ):
        asked = arm.decoding.request(task, temp, seed=0)
        for problem in _problems(arm.engine, arm.model_id, asked):
            key, own = _key_of(problem), config.arms.get(arm.name)
            is_own = key == "reasoning" and own is not None and own.reasoning is not None
            yield ("arms", arm.name, key) if is_own else (key,), problem
    for name, settings in judges(config).items():
        judge = name.removeprefix(judge_backend(""))
        asked = Decoding(
            temperature=0,
            max_new_tokens=config.judges[judge].max_new_tokens,
            seed=0,
            reasoning=settings.reasoning,
        )
        for problem in _problems(settings.engine, settings.model, asked):
            yield ("judges", judge, _key_of(problem)), problem


def _problems(engine: str, model: str, decoding: Decoding) -> Iterator[str]:
    """What a model cannot do; instead of how it thinks, that its name may be misspelt."""
    for problem in problems(engine, model, decoding):
        priced = price_table(PRICE_TABLE).get(engine)
        near = []
        if priced is not None and model not in priced.models and _THINKS in problem:
            near = difflib.get_close_matches(model, priced.models, cutoff=_MISSPELT)
        hint = f"{_UNKNOWN} {model!r} at {engine}; did you mean {' or '.join(near)}? Otherwise: "
        yield hint + problem if near else problem


def _key_of(problem: str) -> str:
    """The key of the config that a problem with a decoding is about."""
    if problem.startswith("temperature"):
        return "temps"
    if problem.startswith(_UNKNOWN):
        return "model_id"
    if " reports no log-probabilities" in problem:
        return "logprobs"
    is_reasoning = " cannot do reasoning " in problem or " takes budget_tokens " in problem
    return "reasoning" if is_reasoning else "max_new_tokens"


def unusable_phrases(config: Config) -> Iterator[Problem]:
    """Phrases of abstention in which there is nothing to recognise."""
    if not config.abstention_phrases:
        return
    from ..metrics.abstention import AbstentionDetector  # compiles long patterns

    try:
        AbstentionDetector(config.abstention_phrases)
    except ValueError as error:
        yield ("abstention_phrases",), str(error)


def _unknown_metrics(config: Config) -> Iterator[Problem]:
    """Names of metrics that nothing measures or that are taken, and amounts taken for shares."""
    known = {metric.name: metric for metric in metrics_of(trials.tasks(config))}
    taken = {*known, *ItemScores.model_fields, *SampleOutcome.model_fields}
    for name, own in config.metrics.items():
        if name in taken or name.endswith("_std"):
            yield ("metrics", name), f"{name!r} is the name of another column; choose another"
        known[name] = own.declaration(name)
    where: list[tuple[Location, str]] = [
        (("stats", "tost_margins", name), name) for name in config.stats.tost_margins
    ]
    declared = config.stats.registration
    if declared is not None:
        where.append((("stats", "registration", "primary"), declared.primary))
        where += [
            (("stats", "registration", "secondary", number), name)
            for number, name in enumerate(declared.secondary)
        ]
    benchmarks = {
        ("datasets", name, "hub", "metric"): spec.hub.metric
        for name, spec in config.datasets.items()
        if spec.hub
    }
    where += benchmarks.items()
    for location, name in where:
        if name not in known:
            yield location, f"no metric {name!r}{there_are(name, known)}"
    amounts = {name for name, metric in known.items() if metric.kind == "amount"}
    for name in config.stats.tost_margins:
        if name in amounts:
            yield ("stats", "tost_margins", name), _no_share(name, "a margin needs")
    for location, name in benchmarks.items():
        if name in amounts:
            yield location, _no_share(name, "a benchmark needs")
    if declared is not None and declared.primary in amounts:
        for key, what in (("margin", "a margin needs"), ("waves", "waves need")):
            if getattr(declared, key) is not None:
                yield ("stats", "registration", key), _no_share(declared.primary, what)


def _no_share(amount: str, what: str) -> str:
    return (
        f"{amount!r} is an amount, compared by ratios, and {what} differences of shares; delete "
        "it, or choose another metric"
    )


def _undeclarable(config: Config) -> Iterator[Problem]:
    """A declared primary question that the run would not answer."""
    declared, where = config.stats.registration, ("stats", "registration")
    if declared is None:
        return
    tasks, temps = trials.tasks(config), trials.temps(config)
    if declared.task is not None and declared.task not in tasks:
        yield (*where, "task"), f"no data set is put to {declared.task!r}; there are {tasks}"
    if declared.temp is not None and declared.temp not in temps:
        yield (*where, "temp"), f"temperature {declared.temp} is not in use; there are {temps}"
    if declared.waves is not None and declared.waves > config.parts_per_dataset:
        yield (
            (*where, "waves"),
            f"{declared.waves} waves need as many parts at least; "
            f"parts_per_dataset is {config.parts_per_dataset}",
        )
    asked = tasks if declared.task is None else [declared.task]
    yield from unknown_subgroup(config, (*where, "subgroup"), declared.subgroup, asked)
    if all(declared.primary in TASKS[task].unmeasured for task in asked):
        measuring = [
            name
            for name, task in TASKS.items()
            if declared.primary in {metric.name for metric in task.metrics} - task.unmeasured
        ]
        yield (
            (*where, "primary"),
            f"{declared.primary!r} is measured in {' and '.join(measuring)} only",
        )


def unknown_subgroup(
    config: Config, where: Location, subgroup: str | None, tasks: Sequence[str]
) -> Iterator[Problem]:
    """A named part of the items that no task has; which tags there are, only the data say."""
    kind, _, value = (subgroup or "").partition("=")
    if not kind or (value and kind != "dataset"):
        return
    of_datasets = [
        f"dataset={name}" for name, spec in config.datasets.items() if spec.the_task in tasks
    ]
    known = [*(name for task in tasks for name in TASKS[task].subgroups), *of_datasets]
    if subgroup not in known:
        yield where, f"no subgroup {subgroup!r}{there_are(str(subgroup), dict.fromkeys(known))}"


def missing_files(config: Config) -> Iterator[Problem]:
    """Files that are not there or not to be used: prompts, data, models and tokenizers."""
    for location, path, what in _files(config):
        if not path.is_file():
            yield location, f"{what} {path.as_posix()!r} {_what_is_there_instead(path)}"
        elif "{" in str(path) or "}" in str(path):
            yield (
                location,
                f"{what} {path.as_posix()!r} has a brace in its path, which Snakemake takes for a "
                "wildcard; rename it",
            )


def missing_libraries(config: Config) -> Iterator[Problem]:
    """Libraries of llama.cpp that a GGUF file needs and that are not installed."""
    for (name, _), settings in models(config).items():
        file = tokenizer_of(settings).path
        problem = None if file is None else missing(settings.local_binding)
        if problem is not None and Path(str(file)).suffix != ".json":
            yield (*_block(config, name), "local_binding"), problem


def unusable_prompts(config: Config) -> Iterator[Problem]:
    """System prompts that cannot be read, or whose names cannot be names of results."""
    seen: dict[str, Path] = {}
    for location, reference in _prompts(config):
        path, name = prompt_path(reference), prompt_name(reference)
        other = seen.setdefault(name.casefold(), path)
        if not name.replace("_", "a").replace("-", "a").isalnum() or not name.isascii():
            yield (
                location,
                f"{path.name!r} becomes part of file names: use letters, digits, '_' and '-' only",
            )
        elif other.resolve() != path.resolve():
            yield (
                location,
                f"{path.as_posix()} and {other.as_posix()} have the same name; "
                "rename one, because results are stored under that name",
            )
        try:
            read_chat(path)
        except UserError as error:
            yield location, str(error)


def two_addresses(config: Config) -> Iterator[Problem]:
    """Hosted models that two backends ask for at different addresses.

    A gateway's answers count as the provider's, so those of one would be taken for the other's.
    """
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for (name, _), settings in models(config).items():
        address = (settings.given_address or "").rstrip("/")
        model = settings.engine, settings.model
        other, elsewhere = seen.setdefault(model, (name, address))
        if settings.declaration.is_hosted and address != elsewhere:
            yield (
                ("backends", name),
                f"it asks {settings.engine} for {settings.model!r} at another address than "
                f"{other!r}, so answers of one would be taken for the other's. Remove one, or "
                "name the gateway as a server of your own (docs/backends.md)",
            )


def missing_prices(config: Config) -> Iterator[Problem]:
    """Models without a price, where there is a budget that their costs would be held against."""
    if config.budget_usd is None:
        return
    for settings in (*models(config).values(), *embedding_models(config)):
        if quote(settings, config.pricing) is None:
            yield ("budget_usd",), no_price(settings)


def _files(config: Config) -> Iterator[tuple[Location, Path, str]]:
    for location, reference in _prompts(config):
        yield location, prompt_path(reference), "the prompt file"
    for name, spec in config.datasets.items():
        if spec.path is not None:
            yield ("datasets", name, "path"), Path(spec.path), "the data file"
    yield from _tables(config)
    for location, _, path in named_templates(config):
        yield location, path, "the template's file"
    for (name, _), settings in models(config).items():
        if settings.model_file is not None:
            yield (
                _where_named(config, name, settings.model),
                Path(settings.model_file),
                "the model file",
            )
    for name, backend in backends(config).items():
        if backend.tokenizer is not None:
            yield (
                (*_block(config, name), "tokenizer"),
                Path(backend.tokenizer),
                "the tokenizer's file",
            )
    for name, metric in config.metrics.items():
        yield ("metrics", name, "file"), Path(metric.file), "the metric's file"
    yield from judging_files(config)
    for file in config.unsupported.model_files:
        yield ("unsupported", "model"), Path(file), "the entailment model's file"


def _tables(config: Config) -> Iterator[tuple[Location, Path, str]]:
    for name, analysis in config.analyses.items():
        yield ("analyses", name, "data"), Path(analysis.data), "the table"
    for name, own in config.arms.items():
        if own.answers is not None:
            yield ("arms", name, "answers"), Path(own.answers), "the file of answers"


def _where_named(config: Config, backend: str, model: str) -> Location:
    """Where a config names a model."""
    if model in config.sweep.models:
        return "sweep", "models"
    for name, own in config.arms.items():
        if own.model == model:
            return "arms", name, "model"
    return *_block(config, backend), "local_model"


def _block(config: Config, backend: str) -> Location:
    """Where a config describes a backend."""
    return ("backends", backend) if config.backends else ()


def _prompts(config: Config) -> Iterator[tuple[Location, str]]:
    """All system prompts, of arms and prompt sets that are not selected too."""
    for name, own in config.arms.items():
        if own.system is not None:
            yield ("arms", name, "system"), own.system
    for location, reference in _references(config):
        if reference not in config.arms:
            yield location, reference


def _references(config: Config) -> Iterator[tuple[Location, str]]:
    """What the prompt sets name."""
    for name, chosen in config.prompt_sets.items():
        yield ("prompt_sets", name, "control"), chosen.control
        for reference in chosen.treatment:
            yield ("prompt_sets", name, "treatment"), reference


def _what_is_there_instead(path: Path) -> str:
    """That a file does not exist, with the names beside it, or in it if it is a folder."""
    folder, problem = path.parent, "does not exist"
    if path.is_dir():
        folder, problem = path, "is a folder, not a file"
    elif not folder.is_dir():
        return f"{problem} (there is no folder {folder.as_posix()!r})"
    names = sorted(each.name for each in folder.iterdir() if each.is_file())
    nearest = difflib.get_close_matches(path.name, names, n=1)
    if nearest:
        return f"{problem}; did you mean {(folder / nearest[0]).as_posix()!r}?"
    alike = [name for name in names if Path(name).suffix == path.suffix] or names
    shown = [*alike[:_NAMES_SHOWN], *(["…"] if len(alike) > _NAMES_SHOWN else [])]
    return f"{problem}; in {folder.as_posix()!r} there is: {', '.join(shown) or 'nothing'}"
