"""The one loader of configs, for rules and scripts alike."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dotenv
import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..build.template import check_template, task_template
from ..errors import UserError
from . import trials
from .schema import Config

ENVIRONMENT = {
    "ASSAY_BACKEND": "backend",
    "ASSAY_LOCAL_ENGINE": "local_engine",
    "ASSAY_LOCAL_ENDPOINT": "local_endpoint",
    "ASSAY_LOCAL_MODEL": "local_model",
    "ASSAY_MODEL_ID": "model_id",
}
"""Environment variables (also from ``.env``) and the config key that each one replaces."""

_MORE_KEYS_THAN_THIS_ARE_NOT_LISTED = 12


def load_config(
    values: Mapping[str, Any], files: Sequence[Path], overrides: Mapping[str, Any]
) -> Config:
    """Check a merged config and everything it points to.

    Args:
        values: the merged config, as Snakemake gives it: ``files`` in order, then ``overrides``.
        files: where it came from, for messages.
        overrides: what the command line said; it wins over the environment.

    Raises:
        UserError: one message that lists all mistakes, each with file, line, key and remedy.
    """
    dotenv.load_dotenv(Path(".env"))
    from_environment = {
        key: os.environ[variable]
        for variable, key in ENVIRONMENT.items()
        if variable in os.environ and key not in overrides
    }
    sources = _Sources(files, overrides, from_environment)
    try:
        config = Config.model_validate({**values, **from_environment})
        trials.backends(config)
    except ValidationError as error:
        raise UserError(
            "\n".join(_explain(detail, sources) for detail in error.errors())
        ) from error
    _check_files(config, sources)
    return config


def read_config(path: Path) -> Config:
    """Read one config file as `load_config` does."""
    return load_config(read_yaml(path), [path], {})


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file, unchecked."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML ({_yaml_problem(error)})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys with values, see config/config.yaml")
    return values


def _yaml_problem(error: yaml.YAMLError) -> str:
    parts = (getattr(error, name, None) for name in ("context", "problem"))
    return ": ".join(part for part in parts if part) or str(error)


class _Sources:
    """Finds the file and line that a key came from."""

    def __init__(
        self,
        files: Sequence[Path],
        overrides: Mapping[str, Any],
        from_environment: Mapping[str, str],
    ) -> None:
        self.files = files
        self.overrides = overrides
        self.from_environment = from_environment

    def where(self, location: Sequence[str | int]) -> str:
        """``file, line N`` of the key at ``location``; of what is nearest to it if it is absent."""
        key = location[0] if location else None
        if key in self.from_environment:
            variable = next(name for name, each in ENVIRONMENT.items() if each == key)
            return f"environment variable {variable}"
        if key in self.overrides:
            return "command line (--config)"
        for path in reversed(self.files):
            line = _line_of(path, location)
            if line is not None:
                return f"{_relative(path)}, line {line}"
        return ", ".join(str(_relative(path)) for path in self.files) or "config"


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line_of(path: Path, location: Sequence[str | int]) -> int | None:
    """The line of the key at ``location`` in a YAML file, or None if its first key is not there."""
    node = yaml.compose(path.read_text(encoding="utf-8"))
    line = None
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            key, node = found[-1]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _explain(detail: ErrorDetails, sources: _Sources) -> str:
    location = detail["loc"]
    key = ".".join(str(step) for step in location if step != "[key]")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = _unknown_key(str(location[-1]), _known_keys(location[:-1]))
    elif detail["type"] == "missing":
        message = "this key is required"
    else:
        message = f"{message} (it is {detail['input']!r})" if location else message
    return f"{sources.where(location)}: {key + ': ' if key else ''}{message}"


def _unknown_key(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    if len(known) > _MORE_KEYS_THAN_THIS_ARE_NOT_LISTED and nearest:
        return f"unknown key; {hint}All keys are described in docs/config.md"
    return f"unknown key; {hint}Known keys here: {', '.join(known)}"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the config block at ``location``."""
    model: Any = Config
    for step in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            annotation = model.model_fields[str(step)].annotation
            model = _block_in(annotation)
    return list(model.model_fields)


def _block_in(annotation: Any) -> Any:
    """The block class inside an annotation such as ``dict[Name, Block]`` or ``list[Block]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        block = _block_in(argument)
        if block is not None:
            return block
    return None


def _check_files(config: Config, sources: _Sources) -> None:
    """Check that every file the config points to is there, before any job starts."""
    problems: list[str] = []

    def need(path: Path, location: Sequence[str | int], what: str) -> None:
        if not path.is_file():
            near = _similar_files(path)
            problems.append(
                f"{sources.where(location)}: {'.'.join(map(str, location))}: "
                f"{what} {path.as_posix()!r} does not exist{near}"
            )

    for name in trials.active_prompt_sets(config):
        chosen = config.prompt_sets[name]
        for role, reference in [
            ("control", chosen.control),
            *(("treatment", each) for each in chosen.treatments),
        ]:
            path = trials.prompt_path(reference)
            need(path, ("prompt_sets", name, role), "the prompt file")
    for name, spec in config.datasets.items():
        if spec.path is not None:
            need(Path(spec.path), ("datasets", name, "path"), "the data file")
    for name, backend in trials.backends(config).items():
        for settings in trials.models(config, backend).values():
            location: tuple[str, ...] = ("local_model",)
            if config.backends:
                location = ("backends", name, "local_model")
            if config.sweep.models:
                location = ("sweep", "models")
            if settings.engine == "llama_cpp":
                need(Path(settings.model), location, "the model file")
    if problems:
        raise UserError("\n".join(problems))
    _check_prompts(config, sources)
    for task in trials.tasks(config):
        check_template(task, task_template(task))


def _check_prompts(config: Config, sources: _Sources) -> None:
    """Check that prompts are not empty, and that one name means one file."""
    seen: dict[str, Path] = {}
    for name in trials.active_prompt_sets(config):
        for reference in trials.arms(config, name).values():
            path, stem = trials.prompt_path(reference), trials.prompt_name(reference)
            where = f"{sources.where(('prompt_sets', name))}: prompt_sets.{name}"
            if not stem.replace("_", "a").replace("-", "a").isalnum() or not stem.isascii():
                raise UserError(
                    f"{where}: {path.name!r} becomes part of file names: "
                    "use letters, digits, '_' and '-' only"
                )
            if seen.setdefault(stem, path) != path:
                raise UserError(
                    f"{where}: {path.as_posix()} and {seen[stem].as_posix()} have the same name; "
                    "rename one, because results are stored under that name"
                )
            if not path.read_text(encoding="utf-8").strip():
                raise UserError(f"{path.as_posix()}: the prompt is empty")


def _similar_files(path: Path) -> str:
    """`; there is …` for the nearest file names beside a missing one."""
    folder = path.parent
    if not folder.is_dir():
        return f" (there is no folder {folder.as_posix()!r})"
    names = [each.name for each in folder.iterdir() if each.suffix == path.suffix]
    nearest = difflib.get_close_matches(path.name, names, n=1, cutoff=0)
    return f"; did you mean {(folder / nearest[0]).as_posix()!r}?" if nearest else ""
