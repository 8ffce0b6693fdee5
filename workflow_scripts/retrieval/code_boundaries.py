"""Where functions and classes of Python begin and end.

Found by strings, comments, brackets and indentation, not by Python's parser: it takes several times
as long, and what it can parse depends on its version.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .cutting import Boundary
from .tokens import Ints, code_points, line_ends

_OTHER_LINE_ENDS = re.compile("\r(?!\n)")
_HAS_DEFINITIONS = re.compile(r"^[ \t\f]*(?:async|def|class)\b", re.MULTILINE)

_STRING = r"{0}[^{1}\\]*(?:(?:\\(?:\r?.|\Z)|{2})[^{1}\\]*)*(?:{0}|(){3})"
_HIDDEN = re.compile(
    "|".join(
        (
            r"#[^\n]*",
            _STRING.format('"""', '"', '"(?!"")', r"\Z"),
            _STRING.format("'''", "'", "'(?!'')", r"\Z"),
            _STRING.format('"', r'"\n', "(?!)", r"(?=\n|\Z)"),
            _STRING.format("'", r"'\n", "(?!)", r"(?=\n|\Z)"),
        )
    ),
    re.DOTALL,
)
"""A comment or a string; a group matches where a string does not end."""

_LINE = re.compile(r"([ \t\f]*)(?:(#|\r?\n|\Z)|(@)|((?:async[ \t\f]+)?def\b|class\b))?")
_BLANK, _DECORATOR, _DEFINITION = 2, 3, 4
_COMMENT = re.compile(r"[^\S\n]*#")

_STEPS = np.zeros(128, np.int8)
_STEPS[[ord(each) for each in "([{"]] = 1
_STEPS[[ord(each) for each in ")]}"]] = -1


def python_boundaries(text: str) -> list[Boundary]:
    """Return the boundaries of a Python file; none if a string or a bracket does not end.

    Decorators and the comments right above belong to a definition.
    """
    # Python ends lines at a lone carriage return, too, and would count others.
    if not _HAS_DEFINITIONS.search(text) or _OTHER_LINE_ENDS.search(text):
        return []
    begins = np.concatenate(([0], line_ends(text)))
    is_continued = _continued(text, begins)
    if is_continued is None:
        return []
    return _of_lines(text, begins.tolist(), np.flatnonzero(~is_continued).tolist())


def _continued(text: str, begins: Ints) -> npt.NDArray[np.bool_] | None:
    """Return which lines belong to the one before; ``None``: a string or bracket does not end."""
    spans = [(-1, -1)]
    for match in _HIDDEN.finditer(text):
        if match.lastindex:
            return None
        spans.append(match.span())
    starts, ends = np.array(spans).T

    def is_hidden(offsets: Any) -> Any:
        """Whether the characters at some offsets are inside strings or comments, not first."""
        return offsets < ends[np.searchsorted(starts, offsets) - 1]

    codes = code_points(text)
    steps = _STEPS[codes if text.isascii() else np.minimum(codes, 127)]
    brackets = np.flatnonzero(steps)
    brackets = brackets[~is_hidden(brackets)]
    depths = np.concatenate(([0], np.cumsum(steps[brackets], dtype=np.int64)))
    if depths.min() < 0 or depths[-1]:
        return None
    padded = np.concatenate((np.zeros(3, codes.dtype), codes))  # the first line has none before
    before = begins + 1
    before -= padded[before] == ord("\r")
    is_joined = (padded[before] == ord("\\")) & ~is_hidden(before - 3)
    found: npt.NDArray[np.bool_] = (
        is_joined | is_hidden(begins) | (depths[np.searchsorted(brackets, begins)] > 0)
    )
    return found


def _of_lines(text: str, begins: list[int], lines: list[int]) -> list[Boundary]:
    """Return the boundaries of a text.

    Args:
        text: of the file.
        begins: of all its lines.
        lines: those that do not belong to the one before: a statement, a comment or nothing.
    """
    columns: Callable[[str], int] = _columns if "\t" in text or "\f" in text else len
    match = _LINE.match
    found: dict[int, int] = {}
    indents: list[int] = []  # of the definitions around a line

    def add(line: int, level: int) -> None:
        if line < len(begins):
            found[begins[line]] = min(level, found.get(begins[line], level))

    decorated: int | None = None
    end = 0  # the line behind the last statement
    for line, following in zip(lines, [*lines[1:], len(begins)], strict=True):
        looked = match(text, begins[line])
        assert looked is not None  # noqa: S101 - it matches everywhere
        kind = looked.lastindex
        if kind == _BLANK:
            continue
        indent = columns(looked[1])
        while indents and indent <= indents[-1]:
            indents.pop()
            add(end, len(indents))
        end = following
        if kind == _DECORATOR:
            decorated = line if decorated is None else decorated
        elif kind == _DEFINITION:
            first = line if decorated is None else decorated
            while first and _COMMENT.match(text, begins[first - 1]):
                first -= 1
            add(first, len(indents))
            indents.append(indent)
            decorated = None
    for level in range(len(indents)):
        add(end, level)
    return [Boundary(offset, level) for offset, level in sorted(found.items())]


def _columns(indentation: str) -> int:
    return len(indentation.rpartition("\f")[2].expandtabs())
