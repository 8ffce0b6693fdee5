"""The verdicts of judges and people, as scores and as what decides correctness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import cast, get_args

from ..core.metric import Metric
from ..judges.instruments import CORRECTNESS
from ..judges.settings import Measurement
from ..tasks.task import Reaction, Verdict
from .verdicts import PEOPLE, VerdictRow


class Verdicts:
    """The verdicts on a trial's responses.

    Args:
        judges: by name, each of which is a metric.
        rows: of verdicts.csv.
    """

    def __init__(self, judges: Mapping[str, Measurement], rows: Iterable[VerdictRow]) -> None:
        self._instruments = {name: judge.instrument() for name, judge in judges.items()}
        self._panel = [
            name for name, each in self._instruments.items() if each.name == CORRECTNESS.name
        ]
        self._deciding = [name for name, each in self._instruments.items() if each.only_undecided]
        self._of_response: dict[str, dict[str, str]] = {}
        for row in rows:
            self._of_response.setdefault(row.custom_id, {})[row.judge] = row.verdict

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of the judges."""
        return [each.metric(name) for name, each in self._instruments.items()]

    def scores(self, custom_id: str) -> dict[str, float]:
        """Return a response's value of each judge's metric: 1 for the verdict that counts."""
        found = self._of_response.get(custom_id, {})
        return {
            name: each.value(found[name]) if name in found else each.missing
            for name, each in self._instruments.items()
        }

    def by_people(self, custom_id: str) -> Verdict | None:
        """Return what people say of a response; ``None`` without a label."""
        return _verdict(self._of_response.get(custom_id, {}).get(PEOPLE))

    def by_judges(self, custom_id: str) -> Verdict | None:
        """Return what most judges of correctness say; ``None`` where no verdict has most votes."""
        return _verdict(self._most(custom_id, self._panel, get_args(Verdict)))

    def reaction(self, custom_id: str) -> Reaction | None:
        """Return whether it answers, by most judges of undecided responses; ``None`` as above."""
        return cast(Reaction | None, self._most(custom_id, self._deciding, get_args(Reaction)))

    def _most(self, custom_id: str, judges: Iterable[str], verdicts: Collection[str]) -> str | None:
        """Return the one of ``verdicts`` with most votes, if there is one."""
        found = self._of_response.get(custom_id, {})
        votes = Counter(each for name in judges if (each := found.get(name, "")) in verdicts)
        ranked = votes.most_common(2)
        if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
            return None
        return ranked[0][0]


def _verdict(text: str | None) -> Verdict | None:
    return cast(Verdict, text) if text in get_args(Verdict) else None
