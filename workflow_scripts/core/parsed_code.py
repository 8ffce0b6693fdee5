"""A module's code without the words that people alone read, remembered by content.

Each call of Snakemake needs that of all modules, and to parse them takes half a second. So it is
kept beside the compiled Python, under a digest of all that decides it: the module's text, this
module and the version of Python.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .files import write_text

_PACKAGE = __name__.split(".", maxsplit=1)[0]

_KEPT = Path(__file__).parents[1] / "__pycache__" / "parsed_code.json"
_MOST_KEPT = 1000  # some versions of each module

_HELP = {
    "Field": ("description", "title"),
    "ArgumentParser": ("description", "epilog"),
    "add_argument": ("help",),
    "Backend": ("description",),
    "DataFormat": ("description",),
    "AnswerFormat": ("description",),
}
"""Calls with the arguments that people alone read: of pydantic, argparse and declarations."""


class ParsedCode(NamedTuple):
    """A module's code.

    ``digest`` is that of its syntax tree. ``imports`` are (level, module, names) of its imports;
    the module of ``import names`` is empty. ``registries`` are the entry point groups of each
    `Registry` that it makes, with the modules of ours there.
    """

    digest: str
    imports: list[tuple[int, str, list[str]]]
    registries: list[tuple[str, list[str]]]


def parsed_code(source: bytes) -> ParsedCode:
    """Return the code of a module from its bytes."""
    key = hashlib.sha256(_decided_by() + source).hexdigest()
    found = _kept().get(key) or _new.get(key)
    if found is None:
        found = _new[key] = _parse(source)
    return ParsedCode(*found)


def keep_parsed_code() -> None:
    """Write down what this process parsed, unless compiled Python is not to be kept either."""
    if _new and not sys.dont_write_bytecode:
        kept = {**_kept(), **_new} if len(_kept()) < _MOST_KEPT else _new
        with contextlib.suppress(OSError, UserError):  # a folder that cannot be written
            write_text(_KEPT, json.dumps(kept))


_new: dict[str, ParsedCode] = {}


@functools.cache
def _kept() -> dict[str, ParsedCode]:
    """What earlier processes kept; nothing if the file is missing or damaged."""
    try:
        kept: dict[str, ParsedCode] = json.loads(_KEPT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept


@functools.cache
def _decided_by() -> bytes:
    return sys.version.encode() + Path(__file__).read_bytes()


def _parse(source: bytes) -> ParsedCode:
    code: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    tree = ast.parse(source)
    _flatten(tree, code, imports)
    return ParsedCode(
        hashlib.sha256(" ".join(code).encode()).hexdigest(),
        [
            (getattr(node, "level", 0), getattr(node, "module", "") or "", _names(node))
            for node in imports
        ],
        list(_registries(tree)),
    )


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names]


def _registries(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The entry point group of each `Registry` that a module makes, and its modules of ours."""
    for statement in tree.body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Registry":
            _, group, shipped = map(ast.literal_eval, call.args)
            yield group, [place for place in shipped.values() if place.startswith(f"{_PACKAGE}.")]


def _flatten(node: ast.AST, code: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Append the code of a syntax tree, without what people alone read, and collect its imports.

    One pass of our own: `ast.dump` with a transformer before it takes four times as long.
    """
    code.append(type(node).__name__)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    for name in node._fields:
        value = getattr(node, name)
        if isinstance(value, list):
            code.append("[")
            for each in value:
                if not isinstance(each, ast.AST):
                    code.append(repr(each))
                elif not (is_text(each) or is_help(each, node)):
                    _flatten(each, code, imports)
            code.append("]")
        elif isinstance(value, ast.AST):
            _flatten(value, code, imports)
        else:
            code.append(repr(value))


def is_text(node: ast.AST) -> bool:
    """Whether it is a docstring, or that of an attribute: a text that stands alone."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    return isinstance(node.value.value, str)


def is_help(node: ast.AST, parent: ast.AST) -> bool:
    """Whether it is an argument of a call that people alone read."""
    if not (isinstance(node, ast.keyword) and isinstance(parent, ast.Call)):
        return False
    name = getattr(parent.func, "id", getattr(parent.func, "attr", ""))
    return node.arg in _HELP.get(name, ())
