"""How far a job is that asks a model: a line of its log, which the terminal adds up over jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<name>.+): (?P<done>\d+) of (?P<total>\d+) done"
    r"(?:, (?P<failed>\d+) failed)?(?:, (?P<per_s>[\d.]+)/s)?(?:, US\$ (?P<usd>[\d.]+))?"
    r"(?: \(.*\))?"
)


@dataclass(frozen=True)
class Progress:
    """Requests of one part or batch job.

    ``done`` counts those that ended, ``failed`` is how many of them have no answer. ``per_s`` and
    ``paid_usd`` are ``None`` where they are not known. ``note`` is for people.
    """

    name: str
    done: int
    total: int
    failed: int = 0
    per_s: float | None = None
    paid_usd: float | None = None
    note: str = ""

    def __str__(self) -> str:
        parts = [f"{self.name}: {self.done} of {self.total} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.per_s is not None:
            parts.append(f"{self.per_s:.1f}/s")
        if self.paid_usd is not None:
            parts.append(f"US$ {self.paid_usd:.4f}")
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")

    @classmethod
    def read(cls, line: str) -> Progress | None:
        """The progress that a line of a log tells; ``None`` if it tells something else."""
        found = _LINE.fullmatch(line.rstrip())
        if found is None:
            return None
        return cls(
            name=found["name"],
            done=int(found["done"]),
            total=int(found["total"]),
            failed=int(found["failed"] or 0),
            per_s=float(found["per_s"]) if found["per_s"] else None,
            paid_usd=float(found["usd"]) if found["usd"] else None,
        )
