"""Label files: one row per response and annotator, as CSV or JSON Lines."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..core.errors import UserError
from ..core.files import read_jsonl, read_table
from ..core.records import SEPARATOR, Record, TaskName
from ..core.values import Checksum, Temp, Text

Verdict = Literal["correct", "incorrect", "not_attempted", "unsure"]
"""What a person says about a response. ``not_attempted``: it gives no answer to the question."""

ADJUDICATOR = "adjudicated"
"""The annotator whose verdict stands whatever the others say."""


class Label(Record):
    """One row of a label file.

    ``arm`` is the name of an arm, or ``control`` or ``treatment``. ``type``, ``temp`` and
    ``sample_index`` are needed where an item has several responses under the arm, unless
    ``response_sha256`` says which one was labelled. With it, a response that has changed since
    does not inherit the label. ``probability``: the chance with which the item was drawn.
    ``trial``: ``backend/model/decoding/prompt_set`` of the trial that it was drawn from. The label
    counts there alone; without it, in each trial that has such a response.
    """

    trial: str | None = None
    dataset: Text
    item_id: Text
    arm: Text
    verdict: Verdict
    type: TaskName | None = None
    temp: Temp | None = None
    sample_index: int | None = Field(default=None, ge=0)
    annotator: str = ""
    labelled_at: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d")
    response_sha256: Checksum | None = None
    probability: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def item_key(self) -> str:
        """`dataset|id` of the item."""
        return f"{self.dataset}{SEPARATOR}{self.item_id}"


@dataclass(frozen=True)
class PlacedLabel:
    """A label with the file and line that it was read from."""

    label: Label
    path: Path
    line: int

    def error(self, problem: str) -> UserError:
        """Return the error that ``problem`` was found on this line."""
        return UserError(f"{self.path}, line {self.line}: {problem}")


def read_labels(path: Path) -> Iterator[PlacedLabel]:
    """Read a label file: JSON Lines if its name ends in ``.jsonl``, else CSV.

    CSV columns may be in any order, and optional ones may be absent.

    Raises:
        UserError: with file, line and field.
    """
    if path.suffix == ".jsonl":
        rows: Iterable[tuple[int, Label]] = enumerate(read_jsonl(path, Label), start=1)
    else:
        rows = read_table(path, Label)
    for line, label in rows:
        yield PlacedLabel(label, path, line)


def response_digest(text: str) -> str:
    """Return the SHA-256 of a response's text, which ties a label to it."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def decide(labels: Sequence[Label]) -> Verdict | None:
    """Return the verdict on one response; ``None`` if it is undecided.

    The adjudicator's verdict, or else the one that more than half of the annotators gave.
    ``unsure`` decides nothing, but counts as a vote.
    """
    final = [label for label in labels if label.annotator == ADJUDICATOR]
    votes = Counter(label.verdict for label in final or labels)
    if not votes:
        return None
    verdict, most = votes.most_common(1)[0]
    return verdict if 2 * most > votes.total() and verdict != "unsure" else None


def as_share(verdict: Verdict | None) -> float | None:
    """Return 1 for correct, 0 for an incorrect or missing answer, ``None`` if undecided."""
    return None if verdict in (None, "unsure") else float(verdict == "correct")
