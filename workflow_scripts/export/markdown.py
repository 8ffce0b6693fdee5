"""A table in GitHub's Markdown; what others wrote reaches it as text only."""

from __future__ import annotations

import re

from .table import COLUMNS, Table

_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~&$^@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What could begin a link, an image, HTML, an entity, emphasis, code, mathematics or a cell."""


def markdown(table: Table) -> str:
    """The whole file: caption, table, notes."""
    header = ["Comparison", *COLUMNS]
    lines = [f"**{escape(table.caption)}**", "", _row(header), "|---|---|--:|--:|--:|--:|"]
    for group in table.groups:
        rows = group.rows or [("",) * len(COLUMNS)]
        for number, cells in enumerate(rows):
            label = group.label if number == 0 else ""
            lines.append(_row([escape(each) for each in (label, *cells)]))
    for note in table.notes:
        lines += ["", escape(note)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
