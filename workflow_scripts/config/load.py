"""The one loader of configs, for rules and scripts alike."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import dotenv
import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..build.template import check_template, task_template
from ..errors import UserError
from ..files import read_text
from . import checks, stages, trials
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

_PLAIN_WORDS = {
    "missing": "this key is required",
    "model_type": "expected a block of keys with values",
    "dict_type": "expected a block of keys with values",
    "list_type": "expected a list",
    "string_type": "expected text; put a number in quotes",
    "too_short": "at least one is needed",
}
"""pydantic's kinds of errors whose own words are about Python."""


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
    for path in files:
        read_yaml(path)  # refuses what Snakemake's own loader lets pass
    from_environment = _from_environment(overrides)
    sources = _Sources(files, overrides, from_environment)
    try:
        config = Config.model_validate({**values, **from_environment})
        trials.backends(config)
        stages.score(config)
    except ValidationError as error:
        raise UserError(
            "\n".join(_explain(detail, sources) for detail in error.errors())
        ) from error
    for check in (checks.unknown_names, checks.missing_files, checks.unusable_prompts):
        problems = dict.fromkeys(
            _message(location, problem, sources) for location, problem in check(config)
        )
        if problems:
            raise UserError("\n".join(problems))
    for task in trials.tasks(config):
        check_template(task, task_template(task))
    return config


def read_config(path: Path) -> Config:
    """Read one config file as `load_config` does."""
    return load_config(read_yaml(path), [path], {})


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file, unchecked but for keys that stand twice."""
    loader = yaml.SafeLoader(read_text(path))
    try:
        node = loader.get_single_node()
        repeated = [
            f"{path}, line {line}: the key {key!r} stands twice; the first is in line {first_line}"
            for key, line, first_line in _repeated_keys(loader, node)
        ]
        values = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: dates that do not exist
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{place}: not valid YAML ({_yaml_problem(error)})") from error
    finally:
        loader.dispose()
    if repeated:
        raise UserError("\n".join(repeated))
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys with values, see config/config.yaml")
    return values


def _from_environment(overrides: Mapping[str, Any]) -> dict[str, str]:
    path = Path(".env")
    if path.is_file():
        dotenv.load_dotenv(stream=io.StringIO(read_text(path)))
    return {
        key: os.environ[variable]
        for variable, key in ENVIRONMENT.items()
        if variable in os.environ and key not in overrides
    }


def _repeated_keys(
    loader: yaml.SafeLoader, root: yaml.Node | None
) -> Iterator[tuple[Any, int, int]]:
    """Each key that a block already has, with its line and that of the first one."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node in seen:  # an alias
            continue
        seen.add(node)
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += (value for _, value in node.value)
            lines: dict[Any, int] = {}
            for key_node, _ in node.value:
                if isinstance(key_node, yaml.ScalarNode) and not key_node.tag.endswith(":merge"):
                    key, line = loader.construct_object(key_node), key_node.start_mark.line + 1
                    if lines.setdefault(key, line) != line:
                        yield key, line, lines[key]


def _yaml_problem(error: Exception) -> str:
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
        deepest, place = 0, ", ".join(str(_relative(path)) for path in self.files) or "config"
        for path in self.files:
            depth, line = _line_of(path, location)
            if depth and depth >= deepest:
                deepest, place = depth, f"{_relative(path)}, line {line}"
        if key in self.overrides and _depth(self.overrides, location) >= deepest:
            place = "command line (--config)"
        return place


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line_of(path: Path, location: Sequence[str | int]) -> tuple[int, int]:
    """How many steps of ``location`` a YAML file has, and the line of the last of them."""
    node = yaml.compose(read_text(path))
    depth = line = 0
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            key, node = found[-1]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and step in range(len(node.value)):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
        depth += 1
    return depth, line


def _depth(values: Any, location: Sequence[str | int]) -> int:
    """How many steps of ``location`` lead to something in ``values``."""
    for depth, step in enumerate(location):
        if isinstance(values, Mapping) and step in values:
            values = values[step]
        elif isinstance(values, list) and step in range(len(values)):
            values = values[int(step)]
        else:
            return depth
    return len(location)


def _message(location: Sequence[str | int], problem: str, sources: _Sources) -> str:
    key = ".".join(str(step) for step in location if step != "[key]")
    return f"{sources.where(location)}: {key + ': ' if key else ''}{problem}"


def _explain(detail: ErrorDetails, sources: _Sources) -> str:
    location, kind, given = detail["loc"], detail["type"], detail["input"]
    if kind == "extra_forbidden":
        problem = _unknown_key(str(location[-1]), _known_keys(location[:-1]))
    else:
        problem = _PLAIN_WORDS.get(kind, detail["msg"].removeprefix("Value error, "))
        # Blocks and lists are too long to repeat, and addresses may hold secrets.
        scalar = isinstance(given, str | int | float)
        if given is None:
            problem += " (it is empty)"
        elif scalar and "://" not in str(given) and repr(given) not in problem:
            problem += f" (it is {given!r})"
    return _message(location, problem, sources)


def _unknown_key(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    if len(known) > _MORE_KEYS_THAN_THIS_ARE_NOT_LISTED:
        return f"unknown key; {hint}All keys are described in docs/config.md"
    return f"unknown key; {hint}Known keys here: {', '.join(known)}"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the config block at ``location``, which may lie in mappings and lists."""
    annotation: Any = Config
    for step in location:
        if _is_block(annotation):
            annotation = annotation.model_fields[str(step)].annotation
        else:  # a name in a mapping or an index in a list: the block is what these hold
            annotation = _block_in(annotation)
    return list(_block_in(annotation).model_fields)


def _is_block(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _block_in(annotation: Any) -> Any:
    """The block class inside an annotation such as ``dict[Name, Block]`` or ``list[Block]``."""
    if _is_block(annotation):
        return annotation
    blocks = map(_block_in, get_args(annotation))
    return next((block for block in blocks if block is not None), None)
