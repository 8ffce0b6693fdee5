"""What asking a model took, from its raw parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ..backends.prices import Quote
from ..core.files import read_jsonl
from ..core.records import RawLine, ResultFile, Usage

Number = TypeVar("Number", int, float)


class Spent(ResultFile):
    """What asking took: equal requests count once; ``None`` where it is not known."""

    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


def spent_on(raw: Iterable[str], quote: Quote | None) -> Spent:
    """Return what the answers in raw parts took, at a model's price, if one is known."""
    lines = {
        line.request_digest or line.custom_id: line
        for path in raw
        for line in read_jsonl(Path(path), RawLine)
        if line.error is None
    }
    used = [line.usage or Usage() for line in lines.values()]
    costs = [
        quote.usd_of(line.usage or Usage(), batch=line.latency_s is None)
        for line in lines.values()
        if quote is not None
    ]
    return Spent(
        requests=len(lines),
        prompt_tokens=total([each.prompt_tokens for each in used]),
        completion_tokens=total([each.completion_tokens for each in used]),
        cost_usd=total(costs) if quote is not None else None,
    )


def total(amounts: Sequence[Number | None]) -> Number | None:
    """The sum; ``None`` where one is not known."""
    known = [each for each in amounts if each is not None]
    return sum(known, type(known[0])()) if known and len(known) == len(amounts) else None
