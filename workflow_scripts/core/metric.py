"""What a metric is, as a declaration: columns, config keys, tests, figures and words follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]

Kind = Literal["share", "amount"]


@dataclass(frozen=True)
class Metric:
    """One number per item and arm, the mean over the item's samples.

    Attributes:
        name: its column in per_item_scores.csv.
        label: its name in running text.
        definition: what it is, for the report.
        better: which direction is better.
        kind: ``share`` from 0 to 1, compared by differences in percentage points; ``amount`` from
            0 without a limit, compared by ratios.
        binary: whether one sample is either 0 or 1, so that items can be counted.
        leads: its place among the metrics that decide the verdict, from 1; 0: it does not decide.
        gained: what it means of an item to go from 0 to 1, in a word.
        lost: and from 1 to 0.
        rose: the verdict's words for a clear rise, with ``{points}`` (``{ratio}`` of an amount):
            what the treatment did where the metric leads, else a sentence without its full stop.
            Empty: words made of the label where it leads, else nothing.
        fell: and for a clear fall.
        must_hold_in: a subgroup in which a clear change for the worse counts in the verdict, even
            where the number over all items hides it.
        subgroup_better: by name of a subgroup, where its direction there is another.
        unit: of an amount, such as ``tokens``.
        decided_by: of a metric that can be decided in several ways, the way that was chosen, in
            words.
        level: of a metric that is such a way, what it is called. Pages warn where it says
            something else than the one that was chosen. Tasks declare them from strict to lenient.
    """

    name: str
    label: str
    definition: str
    better: Better
    kind: Kind = "share"
    binary: bool = False
    leads: int = 0
    gained: str = "gained"
    lost: str = "lost"
    rose: str = ""
    fell: str = ""
    must_hold_in: str = ""
    subgroup_better: tuple[tuple[str, Better], ...] = ()
    unit: str = ""
    decided_by: str = ""
    level: str = ""

    @property
    def short(self) -> str:
        """Its name for other programs: what is counted, without ``_rate``."""
        return self.name.removesuffix("_rate")

    @property
    def in_overviews(self) -> bool:
        """Whether it is shown where there is no room for all: it leads, counts items or amounts.

        One of several ways to decide another metric is not.
        """
        return bool(self.leads) or (self.binary and not self.level) or self.kind == "amount"

    def better_in(self, subgroup: str | None) -> Better:
        """Return which direction is better in a subgroup; in all items where it is ``None``."""
        return dict(self.subgroup_better).get(subgroup or "", self.better)


@dataclass(frozen=True)
class SelectiveRoles:
    """Which metrics say how often an arm answers, and how often wrongly (selective risk).

    A sample is an answer where ``wrong`` is 1, or where ``correct`` is 1 in an item outside of the
    subgroup ``declined``, in which declining to answer is what counts as correct.
    """

    correct: str
    wrong: str
    declined: str


@dataclass(frozen=True)
class ConfidenceRoles:
    """Where the responses of a task say how sure they are, and what says whether they are right.

    Attributes:
        stated: the column of outcomes.csv with the stated probability of being right, from 0 to 1;
            empty where a response states none.
        correct: the binary metric.
    """

    stated: str
    correct: str


@dataclass(frozen=True)
class Confidence:
    """How sure each response is, from 0 to 1, by one measure.

    Attributes:
        column: of outcomes.csv; empty where a response has no value.
        label: its name in running text.
        definition: what it is, for the report.
    """

    column: str
    label: str
    definition: str


STATED = "stated confidence"
"""The label of what responses state themselves."""

TOKEN_PROBABILITY = Confidence(
    "token_probability",
    "token probability",
    "The geometric mean of the probabilities of the response’s tokens.",
)
"""Of all tasks, where the server reports log-probabilities."""
