"""How many labels a difference needs: what people must read before an interval is narrow enough.

The variance of a corrected difference has two parts. One falls with the number of labels, the
other only with the number of judged items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .intervals import t_quantile
from .power import smallest_detectable
from .prediction_powered import Corrected


@dataclass(frozen=True)
class LabelPower:
    """Of a difference that labels correct: what it can detect, and labels for smaller differences.

    ``smallest_detectable``: the true difference that the two-sided t test at ``alpha`` finds with
    probability ``power``, given labels on ``n_labelled`` items under both arms. ``labels_needed``:
    difference -> such items in all; ``None`` if all ``n_items`` judged ones are too few.
    """

    n_labelled: int
    n_items: int
    alpha: float
    power: float
    smallest_detectable: float
    labels_needed: dict[str, int | None]


@dataclass(frozen=True)
class LabelDesign:
    """The variance of a corrected difference with n labels: fixed + per_label / n.

    A label is one item that is labelled under both arms. ``n_items``: judged items, the most that
    can be labelled. ``freedom_per_label``: degrees of freedom per label, 1 for independent items
    and less where labelled items share clusters.
    """

    fixed: float
    per_label: float
    n_items: int
    freedom_per_label: float = 1.0

    @classmethod
    def measured(cls, difference: Corrected) -> LabelDesign | None:
        """Return the design behind a corrected difference; ``None`` without a variance."""
        if difference.fixed_variance is None or difference.label_variance is None:
            return None
        return cls(
            fixed=difference.fixed_variance,
            per_label=difference.label_variance,
            n_items=difference.n_judged,
            freedom_per_label=(difference.degrees_of_freedom + 1) / difference.n_labelled,
        )

    @classmethod
    def assumed(
        cls, deviation: float, correlation: float, n_items: int, design_effect: float = 1.0
    ) -> LabelDesign:
        """Return the design before there is a label.

        ``deviation``: standard deviation of an item's true difference; where the arms' correctness
        differs on a share q of the items it is about the root of q. ``correlation``: between the
        judge's difference and the true one, from 0 (useless) to 1 (perfect). With the best weight
        the judge explains correlation² of the variance (Angelopoulos, Duchi & Zrnic 2023).
        """
        variance = deviation**2 * design_effect
        return cls(
            fixed=variance * correlation**2 / n_items,
            per_label=variance * (1 - correlation**2),
            n_items=n_items,
            freedom_per_label=1 / design_effect,
        )

    def standard_error(self, n_labels: int) -> float:
        """Return the standard error with so many labels."""
        return math.sqrt(self.fixed + self.per_label / n_labels)

    def half_width(self, n_labels: int, confidence: float) -> float:
        """Return half the width of the interval with so many labels."""
        return t_quantile(self._freedom(n_labels), (1 + confidence) / 2) * self.standard_error(
            n_labels
        )

    def detectable(self, n_labels: int, alpha: float, power: float = 0.8) -> float:
        """Return the true difference that a test at ``alpha`` finds with probability ``power``."""
        error = self.standard_error(n_labels)
        return smallest_detectable(error, self._freedom(n_labels), alpha, power) if error else 0.0

    def labels_for_half_width(self, half_width: float, confidence: float) -> int | None:
        """Return the fewest labels with this half-width; ``None`` if all items are too few."""
        return self._fewest(lambda n: self.half_width(n, confidence) <= half_width)

    def labels_to_detect(self, difference: float, alpha: float, power: float = 0.8) -> int | None:
        """Return the fewest labels that detect it; ``None`` if labels on all items do not."""
        return self._fewest(lambda n: self.detectable(n, alpha, power) <= difference)

    def label_power(
        self, n_labels: int, alpha: float, power: float, effects: Iterable[float]
    ) -> LabelPower:
        """Return what so many labels can detect, and the labels that ``effects`` take."""
        return LabelPower(
            n_labelled=n_labels,
            n_items=self.n_items,
            alpha=alpha,
            power=power,
            smallest_detectable=self.detectable(n_labels, alpha, power),
            labels_needed={
                str(effect): self.labels_to_detect(effect, alpha, power) for effect in effects
            },
        )

    def _freedom(self, n_labels: int) -> float:
        return max(1.0, n_labels * self.freedom_per_label - 1)

    def _fewest(self, enough: Callable[[int], bool]) -> int | None:
        """Return the smallest number of labels from 2 that is enough, by bisection."""
        low, high = 2, self.n_items
        if high < low or not enough(high):
            return None
        while low < high:
            middle = (low + high) // 2
            if enough(middle):
                high = middle
            else:
                low = middle + 1
        return low
