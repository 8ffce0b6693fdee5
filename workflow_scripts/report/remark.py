"""What a reader must know before believing the numbers of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Remark:
    """A sentence beside the verdict.

    ``warning``: it may change the conclusion. ``note``: it says how to read it.
    """

    level: Literal["warning", "note"]
    code: str
    message: str
