"""Turn what the labelling pages exported into a label file.

    python -m workflow_scripts.labels.collect --exports labels --output labels/demo.csv

An export names its sample, and the key file of that sample says which response each verdict is on.
Exports are files, or folders in which all exports are taken (labels/, Downloads). They are checked:
known sample and responses, legal verdicts, nothing labelled twice by one annotator. Labels on a
sample that a larger one begins with count as labels on that. In a folder, exports of other samples
are left out, and named.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from ..core.errors import UserError, command
from ..core.files import describe, read_json, read_table, unreadable, write_csv
from ..core.records import Record
from ..core.wording import counted
from .keys import KeyRow, is_beginning, read_key, sample_digest
from .records import Label, Verdict, read_labels


class ExportRow(Record):
    """One verdict as the page exports it; ``sample`` is the digest of the key file's rows."""

    sample: str
    id: str
    verdict: Verdict
    annotator: str = ""
    labelled_at: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class PlacedRow:
    """A row of an export, with the file and the line or entry that it was read from."""

    row: ExportRow
    path: Path
    place: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}"


_EXPORT = re.compile(r'\ufeff?(sample,id,verdict\b|\s*\[\s*\{\s*"sample"\s*:)')
"""How an export begins, as CSV and as JSON."""

Keys = Mapping[str, Sequence[KeyRow]]
"""Key files by the digest of their sample."""


def export_files(path: Path, keys: Keys) -> tuple[list[Path], list[Path]]:
    """Return the exports in a folder, by name: those of known samples, and the others.

    A file is returned as it is.

    Raises:
        UserError: a folder without exports of known samples, or something that cannot be read.
    """
    if not path.is_dir():
        return [path], []
    files = sorted(each for each in path.iterdir() if each.suffix in (".csv", ".json"))
    found = [each for each in files if each.is_file() and _EXPORT.match(_beginning(each))]
    known = [each for each in found if all(row.row.sample in keys for row in read_export(each))]
    others = [each for each in found if each not in known]
    if not known:
        raise UserError(
            f"{path}: there is no export of a labelling page with a key file in this folder"
            + (f"; {others[0].name} is of another sample" if others else "")
        )
    return known, others


def _beginning(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(200)
    except OSError as error:
        raise unreadable(path, error) from error


def read_export(path: Path) -> Iterator[PlacedRow]:
    """Read an export, as JSON if its name ends in ``.json``, else as CSV.

    Raises:
        UserError: with file, place and field.
    """
    if path.suffix != ".json":
        for line, row in read_table(path, ExportRow):
            yield PlacedRow(row, path, f"line {line}")
        return
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of verdicts, as the page exports it")
    for number, row in enumerate(rows, start=1):
        place = f"entry {number}"
        try:
            yield PlacedRow(ExportRow.model_validate(row), path, place)
        except ValidationError as error:
            raise UserError(f"{path}, {place}: {describe(error)}") from error


def read_keys(path: Path) -> Keys:
    """Read a key file, or all in a folder and below: key.csv, and key.*.csv of smaller samples.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    files = sorted({*path.rglob("key.csv"), *path.rglob("key.*.csv")}) if path.is_dir() else [path]
    if not files:
        raise UserError(
            f"{path}: there is no key.csv in this folder. `snakemake label` writes one beside each "
            "page; name it with --keys"
        )
    keys = map(read_key, files)
    return {sample_digest(key): key for key in keys}


def labels_of(keys: Keys, exports: Iterable[PlacedRow]) -> Iterator[Label]:
    """Yield the labels of the arms' responses, in the order of the exports.

    An export that was saved twice counts once.

    Raises:
        UserError: an export is of another sample, names an unknown response, or repeats one.
    """
    responses: dict[tuple[str, str], list[KeyRow]] = defaultdict(list)
    for digest, key in keys.items():
        for row in key:
            responses[digest, row.id].append(row)
    seen: dict[tuple[str, str, str], PlacedRow] = {}
    exports = list(exports)
    largest = _largest(keys, {placed.row.sample for placed in exports})
    for placed in exports:
        export = placed.row
        if export.sample not in keys:
            raise UserError(
                f"{placed}: no key file is that of sample {export.sample!r}. Name the key file "
                "that was made with the page with --keys, or leave this export out"
            )
        if (export.sample, export.id) not in responses:
            raise UserError(f"{placed}: the key file has no response {export.id!r}")
        sample = largest[export.sample]
        before = seen.setdefault((sample, export.id, export.annotator), placed)
        if before is not placed:
            if before.row.verdict == export.verdict and before.path != placed.path:
                continue
            raise UserError(
                f"{placed}: {export.annotator or 'the annotator without a name'} has labelled "
                f"{export.id!r} before ({before}). Remove the older export; if these are two "
                "people, give them two names"
            )
        for row in responses[sample, export.id]:
            yield Label(
                **row.model_dump(exclude={"id", "stratum"}),
                **export.model_dump(exclude={"sample", "id"}),
            )


def _largest(keys: Keys, used: Collection[str]) -> dict[str, str]:
    """By sample, the largest one with exports that begins with it, so that chances are its."""
    known = sorted((each for each in used if each in keys), key=lambda each: len(keys[each]))
    return {
        each: [other for other in known if is_beginning(keys[each], keys[other])][-1]
        for each in known
    }


def keep_what_is_there(output: Path, labels: Iterable[Label]) -> None:
    """Check that a label file that is there has no labels beside these.

    Raises:
        UserError: it has, and they would be lost.
    """
    if not output.exists():
        return
    found = {_about(each) for each in labels}
    lost = [each for each in read_labels(output) if _about(each.label) not in found]
    if lost:
        raise UserError(
            f"{output} has {len(lost)} labels that are not in these exports (line {lost[0].line} "
            "is the first). Add the exports that they are from, or choose another --output"
        )


def _about(label: Label) -> tuple[str | None, ...]:
    return (label.item_key, label.arm, label.type, label.response_sha256, label.annotator)


@command
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Turn the labelling page's exports into labels.")
    parser.add_argument(
        "--exports", type=Path, nargs="+", required=True,
        help="CSV or JSON files of annotators, or folders that hold them",
    )  # fmt: skip
    parser.add_argument(
        "--keys", type=Path, default=Path("results"), help="a key file, or a folder with key files"
    )
    parser.add_argument("--output", type=Path, required=True, help="label file (CSV)")
    arguments = parser.parse_args()
    keys = read_keys(arguments.keys)
    found = [export_files(each, keys) for each in arguments.exports]
    files = list(dict.fromkeys(file for known, _ in found for file in known))
    labels = list(labels_of(keys, (row for path in files for row in read_export(path))))
    if not labels:
        raise UserError("the exports have no verdicts")
    keep_what_is_there(arguments.output, labels)
    write_csv(arguments.output, Label, labels)
    print("Read:", *files, sep="\n  ")
    if others := [file for _, others in found for file in others]:
        print("Left out, because no key file is that of their sample:", *others, sep="\n  ")
    for trial in sorted({str(label.trial or "") for label in labels}):
        of_trial = [label for label in labels if (label.trial or "") == trial]
        done = {(each.item_key, each.arm, each.type, each.response_sha256) for each in of_trial}
        wanted = max(sum((row.trial or "") == trial for row in key) for key in keys.values())
        people = sorted({each.annotator for each in of_trial})
        print(f"{trial}: labels on {len(done)} of {wanted} responses, by {', '.join(people)}")
    size = counted(len(labels), "label")
    print(f"{arguments.output}: {size}. Name it in the config and run again:")
    print(f"    labels: {arguments.output.as_posix()}")


if __name__ == "__main__":
    main()
