"""YAML files: read with the mistakes that other loaders let pass, and keys found by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..files import read_text


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: the file cannot be read, is not YAML, or has a key twice in one block.
    """
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
        raise UserError(f"{path}{place}: not valid YAML ({_problem(error)})") from error
    finally:
        loader.dispose()
    if repeated:
        raise UserError("\n".join(repeated))
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys with values, see config/config.yaml")
    return values


def line_of(path: Path, location: Sequence[str | int]) -> tuple[int, int]:
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


def _repeated_keys(
    loader: yaml.SafeLoader, root: yaml.Node | None
) -> Iterator[tuple[Any, int, int]]:
    """Each key that its block already has, with its line and that of the first one."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node in seen:  # by an alias
            continue
        seen.add(node)
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += (value for _, value in node.value)
            lines: dict[Any, yaml.Node] = {}
            for key_node, _ in node.value:
                if isinstance(key_node, yaml.ScalarNode) and not key_node.tag.endswith(":merge"):
                    key = loader.construct_object(key_node)
                    first = lines.setdefault(key, key_node)
                    if first is not key_node:
                        yield key, key_node.start_mark.line + 1, first.start_mark.line + 1


def _problem(error: Exception) -> str:
    parts = (getattr(error, name, None) for name in ("context", "problem"))
    return ": ".join(part for part in parts if part) or str(error)
