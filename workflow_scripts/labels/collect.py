"""Turn what the labelling page exported into a label file.

    python -m workflow_scripts.labels.collect --key labels/pilot.key.csv \
        --exports pilot.ann.csv pilot.ben.json --output labels/pilot.csv

Each export is checked against the key file: same sample, known responses, legal verdicts, nothing
labelled twice by one annotator.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from ..core.errors import UserError, command
from ..core.files import describe, read_json, read_table, write_csv
from ..core.records import Record
from .keys import KeyRow, read_key, sample_digest
from .records import Label, Verdict


class ExportRow(Record):
    """One verdict as the page exports it; ``sample`` is the digest of the key file's rows."""

    sample: str
    id: str
    verdict: Verdict
    annotator: str = ""
    labelled_at: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d")


def read_export(path: Path) -> Iterator[tuple[str, ExportRow]]:
    """Read an export, as JSON if its name ends in ``.json``, else as CSV; with each row's place.

    Raises:
        UserError: with file, place and field.
    """
    if path.suffix != ".json":
        for line, row in read_table(path, ExportRow):
            yield f"{path}, line {line}", row
        return
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of verdicts, as the page exports it")
    for number, row in enumerate(rows, start=1):
        place = f"{path}, entry {number}"
        try:
            yield place, ExportRow.model_validate(row)
        except ValidationError as error:
            raise UserError(f"{place}: {describe(error)}") from error


def labels_of(key: Sequence[KeyRow], exports: Iterable[tuple[str, ExportRow]]) -> Iterator[Label]:
    """Yield the labels of the arms' responses, in the order of the exports.

    Raises:
        UserError: an export is of another sample, names an unknown response, or repeats one.
    """
    digest = sample_digest(key)
    responses: dict[str, list[KeyRow]] = defaultdict(list)
    for row in key:
        responses[row.id].append(row)
    places: dict[tuple[str, str], str] = {}
    for place, export in exports:
        if export.sample != digest:
            raise UserError(
                f"{place}: the verdict is on sample {export.sample!r}, but the key file is that of "
                f"sample {digest!r}; give the key file that was made with the page"
            )
        if export.id not in responses:
            raise UserError(f"{place}: the key file has no response {export.id!r}")
        before = places.setdefault((export.id, export.annotator), place)
        if before != place:
            raise UserError(
                f"{place}: {export.annotator or 'the annotator without a name'} has labelled "
                f"{export.id!r} before ({before}); remove one of the two"
            )
        for row in responses[export.id]:
            yield Label(
                **row.model_dump(exclude={"id", "stratum"}),
                **export.model_dump(exclude={"sample", "id"}),
            )


@command
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Turn the labelling page's exports into labels.")
    parser.add_argument("--key", type=Path, required=True, help="the sample's key file")
    parser.add_argument(
        "--exports", type=Path, nargs="+", required=True, help="CSV or JSON, of each annotator"
    )
    parser.add_argument("--output", type=Path, required=True, help="label file (CSV)")
    arguments = parser.parse_args()
    key = read_key(arguments.key)
    exports = (row for path in arguments.exports for row in read_export(path))
    labels = list(labels_of(key, exports))
    if not labels:
        raise UserError("the exports have no verdicts")
    write_csv(arguments.output, Label, labels)
    asked = len({row.id for row in key})
    done = len({(label.item_key, label.arm, label.type) for label in labels})
    print(f"{arguments.output}: labels on {done} of {len(key)} responses ({asked} to read)")


if __name__ == "__main__":
    main()
