"""Labels and the responses that they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.errors import UserError
from ..core.records import Prediction
from .records import Label, PlacedLabel, Verdict, as_share, decide, response_digest


@dataclass(frozen=True)
class LabelledResponse:
    """A response with all its labels, and the verdict that follows (``None``: undecided)."""

    custom_id: str
    labels: tuple[Label, ...]
    verdict: Verdict | None

    @property
    def correct(self) -> float | None:
        """1 if the response is correct, 0 if not, ``None`` if undecided."""
        return as_share(self.verdict)

    @property
    def probability(self) -> float | None:
        """The chance with which its item was drawn; ``None`` if no label says it."""
        return next((each.probability for each in self.labels if each.probability), None)


@dataclass(frozen=True)
class Matches:
    """Label files against the responses of a trial.

    ``matched``: by custom_id. ``stale``: the response has changed since it was labelled.
    ``unknown``: no response of the trial is meant.
    """

    matched: Mapping[str, LabelledResponse]
    stale: tuple[PlacedLabel, ...]
    unknown: tuple[PlacedLabel, ...]


@dataclass(frozen=True)
class _Response:
    custom_id: str
    type: str
    temp: str
    sample_index: int
    sha256: str


def match(
    labels: Iterable[PlacedLabel],
    predictions: Iterable[Prediction],
    arms: Mapping[str, str] | None = None,
    trial: str | None = None,
) -> Matches:
    """Find the response of each label.

    Args:
        labels: of one or more files.
        predictions: the trial's responses.
        arms: the name of the arm behind each condition; labels may use either.
        trial: its name. Labels of other trials are passed over.

    Raises:
        UserError: a label fits several responses, or an annotator labelled one twice.
    """
    conditions = {name: condition for condition, name in (arms or {}).items()}
    responses: dict[tuple[str, str], list[_Response]] = defaultdict(list)
    for row in predictions:
        response = _Response(
            row.custom_id, row.type, row.temp, row.sample_index, response_digest(row.response_text)
        )
        responses[row.item_key, row.condition].append(response)

    found: dict[str, list[PlacedLabel]] = defaultdict(list)
    stale, unknown = [], []
    for placed in labels:
        label = placed.label
        if trial is not None and label.trial not in (None, trial):
            continue
        condition = conditions.get(label.arm, label.arm)
        meant = [
            each
            for each in responses.get((label.item_key, condition), [])
            if label.type in (None, each.type)
            and label.temp in (None, each.temp)
            and label.sample_index in (None, each.sample_index)
        ]
        same = [each for each in meant if label.response_sha256 in (None, each.sha256)]
        if not meant:
            unknown.append(placed)
        elif not same:
            stale.append(placed)
        elif label.response_sha256 is None and len(same) > 1:
            raise placed.error(
                f"item {label.item_key!r} has {len(same)} responses under {label.arm!r}; add the "
                f"columns {', '.join(_telling(same))}, or response_sha256"
            )
        else:
            # Equal responses of one item share a label.
            for each in same:
                found[each.custom_id].append(placed)
    return Matches(
        matched={custom_id: _together(custom_id, placed) for custom_id, placed in found.items()},
        stale=tuple(stale),
        unknown=tuple(unknown),
    )


def _telling(responses: list[_Response]) -> list[str]:
    """The columns that tell responses apart."""
    return [
        name
        for name in ("type", "temp", "sample_index")
        if len({getattr(each, name) for each in responses}) > 1
    ]


def _together(custom_id: str, placed: list[PlacedLabel]) -> LabelledResponse:
    seen: dict[str, PlacedLabel] = {}
    for each in placed:
        before = seen.setdefault(each.label.annotator, each)
        if before is not each:
            raise UserError(
                f"{each.path}, line {each.line}: annotator {each.label.annotator!r} has labelled "
                f"this response before ({before.path}, line {before.line}). Remove one of the two, "
                "or give each annotator a name"
            )
    labels = tuple(each.label for each in placed)
    return LabelledResponse(custom_id, labels, decide(labels))
