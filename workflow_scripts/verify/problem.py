"""What is wrong with a file, and how the user hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError

_NAMED_AT_MOST = 20


class Problem(NamedTuple):
    """A file that is not what was recorded; ``text`` has file, line and remedy."""

    path: Path
    text: str


def raise_problems(problems: Sequence[Problem]) -> None:
    """Refuse what something is wrong with.

    Raises:
        UserError: the problems, one a line, the first of the chain last.
    """
    if problems:
        more = len(problems) - _NAMED_AT_MOST
        named = [each.text for each in reversed(problems[:_NAMED_AT_MOST])]
        if more > 0:
            named.insert(0, f"… and {more:,} more")
        raise UserError("\n".join(["these results are not as they were made:", *named]))
