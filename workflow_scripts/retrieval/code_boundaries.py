"""Where functions and classes of Python begin and end."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any

from .cutting import Boundary
from .tokens import line_ends

_MOST_PARSED = 2_000_000
"""Characters. The syntax tree of a text takes a hundred times its memory."""

_OTHER_LINE_ENDS = re.compile("\r(?!\n)")
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def python_boundaries(text: str) -> list[Boundary]:
    """Return the boundaries of a Python file; none if it cannot be parsed or is very large.

    Decorators and the comments right above belong to a definition.
    """
    # Python ends lines at a lone carriage return, too, and would count others.
    if len(text) > _MOST_PARSED or _OTHER_LINE_ENDS.search(text):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    starts = [0, *line_ends(text).tolist()]
    lines = text.split("\n")
    found: dict[int, int] = {}
    for node, level in _definitions(tree.body, 0):
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        for line in (first, node.end_lineno or node.lineno):
            if line < len(starts):
                found[starts[line]] = min(level, found.get(starts[line], level))
    return [Boundary(offset, level) for offset, level in sorted(found.items())]


def _definitions(body: list[Any], level: int) -> Iterator[tuple[_Definition, int]]:
    for node in body:
        if isinstance(node, _Definition):
            yield node, level
            yield from _definitions(node.body, level + 1)
            continue
        for name in _BLOCKS:
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                yield from _definitions(inner, level)
