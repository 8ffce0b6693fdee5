"""comparisons.json: what its writer writes and the pages read."""

from __future__ import annotations

from typing import Literal

from ..core.block import Block
from ..stats.intervals import Method

SCHEMA_VERSION = 1

Kind = Literal["treatments", "trials", "temperatures", "interaction"]

Declared = Literal["before", "after", "unknown"]


class Side(Block):
    """One side of a comparison: an arm of a trial, which is given by its position in ``trials``.

    ``subgroup``: in an interaction, the part of the items in which ``condition`` is compared with
    the control.
    """

    trial: int
    condition: str
    temp: str
    subgroup: str | None = None


class Tested(Block):
    """What differences and ratios have in common.

    ``first`` and ``second`` are the means of the sides (geometric ones of an amount); of an
    interaction the effects in both subgroups. ``q_value`` is ``permutation_p`` corrected for all
    tests of the family. ``declared``: if this is about the declared primary question, whether it
    was declared before the first answer of both trials.
    """

    first: float | None
    second: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: Method
    ci_trusted: bool
    permutation_p: float
    q_value: float
    n_items: int
    n_clusters: int
    declared: Declared | None = None


class Difference(Tested):
    """A share: second minus first. The margin is the configured one, ``None`` without one."""

    difference: float
    margin: float | None = None
    margin_p: float | None = None
    equivalent: bool | None = None
    margin_trusted: bool | None = None


class Ratio(Tested):
    """An amount: second over first; ``None`` is beyond what a number can hold."""

    ratio: float | None


class Pairing(Block):
    """Two sides compared in one task.

    ``same_answers``: both sides share their answers, so that nothing can differ.
    """

    kind: Kind
    task: str
    first: Side
    second: Side
    n_items: int
    n_clusters: int
    same_answers: bool
    metrics: dict[str, Difference]
    amounts: dict[str, Ratio]


class Comparisons(Block):
    """comparisons.json.

    ``trials`` are their folders. ``pairs_in_all``: possible pairs of trials, of which ``pairs``
    were compared. ``families``: number of tests of shares and of amounts; comparisons of the same
    answers count once. ``subgroups_left_out``: those beyond `MAX_SUBGROUPS`.
    """

    schema_version: int = SCHEMA_VERSION
    confidence: float
    trials: list[str]
    pairs: int
    pairs_in_all: int
    families: dict[str, int]
    subgroups_left_out: list[str]
    comparisons: list[Pairing]

    def of_kind(self, kind: Kind) -> list[Pairing]:
        """Return the comparisons of one kind."""
        return [each for each in self.comparisons if each.kind == kind]
