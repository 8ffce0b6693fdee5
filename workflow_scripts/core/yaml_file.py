"""YAML files: read with the mistakes that other loaders let pass, and keys found by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError
from .files import read_text

_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-7_]+|0[xb][0-9a-fA-F_]+|[0-9][0-9_]*(?::[0-9_]+)+(?:\.[0-9_]*)?)"
)
"""Numbers of YAML 1.1 that are not what they look like: octal, hexadecimal, binary, base 60."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: the file cannot be read, is not YAML, has a key twice in one block, or a number
            that YAML reads as another one.
    """
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise _not_yaml(path, error, text) from error
    try:
        node = loader.get_single_node()
        mistakes = [
            f"{path}, line {line}: the key {key!r} stands twice; the first is in line {first_line}"
            for key, line, first_line in _repeated_keys(loader, node)
        ]
        mistakes += [
            f"{path}, line {scalar.start_mark.line + 1}: YAML reads {scalar.value} as "
            f"{loader.construct_object(scalar)!r}; write that number, or put the text in quotes"
            for scalar in _scalars(node)
            if scalar.tag.endswith((":int", ":float")) and _ODD_NUMBER.fullmatch(scalar.value)
        ]
        values = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: dates that do not exist
        raise _not_yaml(path, error, text) from error
    except RecursionError:
        raise UserError(f"{path}: blocks or lists are nested too deeply") from None
    finally:
        loader.dispose()
    if mistakes:
        raise UserError("\n".join(mistakes))
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
    for node in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            lines: dict[Any, yaml.Node] = {}
            for key_node, _ in node.value:
                if isinstance(key_node, yaml.ScalarNode) and not key_node.tag.endswith(":merge"):
                    key = loader.construct_object(key_node)
                    first = lines.setdefault(key, key_node)
                    if first is not key_node:
                        yield key, key_node.start_mark.line + 1, first.start_mark.line + 1


def _scalars(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    return (node for node in _nodes(root) if isinstance(node, yaml.ScalarNode))


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """All nodes of a document, each once: an alias is the node that it names."""
    waiting, seen = [root] if root is not None else [], set()
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            if isinstance(node, yaml.SequenceNode):
                waiting += reversed(node.value)
            elif isinstance(node, yaml.MappingNode):
                waiting += (each for pair in reversed(node.value) for each in reversed(pair))


def _not_yaml(path: Path, error: Exception, text: str) -> UserError:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return UserError(
            f"{path}, line {line}: the character U+{error.character:04X} does not belong into "
            "YAML; delete it"
        )
    mark = getattr(error, "problem_mark", None)
    place = f", line {mark.line + 1}" if mark else ""
    return UserError(f"{path}{place}: not valid YAML ({_problem(error)})")


def _problem(error: Exception) -> str:
    parts = (getattr(error, name, None) for name in ("context", "problem"))
    return ": ".join(part for part in parts if part) or str(error)
