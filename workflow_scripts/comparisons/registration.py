"""Pre-registration: what was declared, when, and whether that was before the first answer.

Every run that plans the workflow records the declaration of its config in a file named after the
declaration's digest, before any job starts, and never changes that file: another declaration is
another file with a later time. `first_answer` finds when the trial's first answer arrived, also
where the answer was first asked for by another experiment.

This keeps honest people honest; a clock or a file can be forged. Who needs proof publishes the
digest before the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..answers.journal import Journal
from ..answers.parts import ParseSettings
from ..core.block import Block
from ..core.errors import command
from ..core.files import read_csv, read_settings, write_record
from ..core.records import Answer
from ..core.seals import SealWriter, add_seal_argument, seal_beside
from ..stats.settings import Stats


class Declaration(Block):
    """A recorded declaration: ``content`` is what decides the answer to the primary question."""

    digest: str
    declared_at: datetime
    content: dict[str, Any]


class RegistrationStatus(Block):
    """registration.json of a trial. Times are UTC; ``evidence`` is the file that holds the answer.

    ``first_answer_at`` is a time before which no answer arrived, ``None`` without any answer.
    ``before_first_answer`` is ``None`` where that is not known: answers from a file, and those of
    versions before 0.2, which raw lines do not identify, may be older than the raw part.
    """

    digest: str
    declared_at: datetime
    first_answer_at: datetime | None
    evidence: str | None
    before_first_answer: bool | None


def declaration(stats: Stats) -> dict[str, Any] | None:
    """All that decides the primary question's answer besides the data; ``None`` if undeclared."""
    if stats.registration is None:
        return None
    registration = stats.registration.model_dump(mode="json")
    if stats.registration.waves is None or stats.registration.stopping == "betting":
        del registration["stopping"]  # declarations of versions without the key stay the same
    return {
        "registration": registration,
        "confidence": stats.confidence,
        "bootstrap_samples": stats.bootstrap_samples,
        "permutation_samples": stats.permutation_samples,
        "random_seed": stats.random_seed,
    }


def digest_of(content: dict[str, Any]) -> str:
    """SHA-256 of a declaration, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def record(experiment: str, stats: Stats) -> str | None:
    """The path of the config's recorded declaration, written now if it is new."""
    content = declaration(stats)
    if content is None:
        return None
    digest = digest_of(content)
    path = Path("results") / experiment / "registration" / f"{digest[:12]}.json"
    if not path.exists():
        declared = Declaration(digest=digest, declared_at=datetime.now(UTC), content=content)
        seal = SealWriter(seal_beside(path, path.stem), [])
        write_record(path, declared)
        seal.seal(path)
    return path.as_posix()


def first_answer(
    digests: Collection[str], raw_files: Iterable[Path], journals: Path
) -> tuple[datetime, str] | None:
    """A time before which none of these answers arrived, and the file that it is taken from.

    A journal file is named after the time of its first answer and never changed; a raw part is
    as old as its last change. The earliest of both counts.

    Args:
        digests: of the requests (`infer.journal.request_digest`).
        raw_files: the parts that hold the answers.
        journals: folder of all journals.
    """
    found = [(journal_time(path), path.as_posix()) for path in journal_files(digests, journals)]
    for path in raw_files:
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        found.append((changed, path.as_posix()))
    return min(found, default=None)


def journal_files(digests: Collection[str], journals: Path) -> set[Path]:
    """Return the journal files that hold the answers to some requests.

    Args:
        digests: of the requests. A server may give two answers the same response id, so that is
            no identity.
        journals: folder of all journals.

    Raises:
        UserError: one of the answers was changed after it was recorded.
    """
    folders = journals.iterdir() if journals.is_dir() else ()
    return {
        place.path
        for folder in folders
        if folder.is_dir()
        for place in Journal(folder).find(digests).values()
    }


def journal_time(path: Path) -> datetime:
    """When a journal file was opened, from its name; else when it was last changed."""
    first = path.name.split("-")[0]
    seconds = int(first) / 1e9 if first.isdecimal() else path.stat().st_mtime
    return datetime.fromtimestamp(seconds, UTC)


def registration_status(
    declared: Declaration,
    answers: Iterable[Answer],
    raw_files: Iterable[Path],
    journals: Path,
    *,
    made_elsewhere: bool = False,
) -> RegistrationStatus:
    """Return whether a declaration came before the first answer to a trial's requests.

    ``made_elsewhere``: some answers come from a file, and nobody knows when they were given.
    """
    digests = {answer.request_digest for answer in answers if not answer.failed}
    if made_elsewhere:
        digests.add(None)
    identified = {digest for digest in digests if digest is not None}
    first = first_answer(identified, raw_files, journals) if digests else None
    before: bool | None = first is None or declared.declared_at < first[0]
    if before and None in digests:
        before = None
    return RegistrationStatus(
        digest=declared.digest,
        declared_at=declared.declared_at,
        first_answer_at=first[0] if first else None,
        evidence=first[1] if first else None,
        before_first_answer=before,
    )


@command
def main() -> None:
    """Write registration.json: whether a trial's declaration came before its first answer."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--declaration", type=Path, required=True, help="recorded declaration")
    parser.add_argument("--answers", type=Path, required=True, help="answers.csv")
    parser.add_argument("--settings", type=Path, required=True, help="ParseSettings as JSON")
    parser.add_argument("--journal", type=Path, required=True, help="folder of all journals")
    parser.add_argument("--output", type=Path, required=True, help="registration.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    declared = read_settings(arguments.declaration, Declaration)
    parts = read_settings(arguments.settings, ParseSettings).parts
    raw_files = [Path(name) for name in parts.raw_files()]
    seal = SealWriter(arguments.seal, [arguments.declaration, arguments.answers, *raw_files])
    answers = read_csv(arguments.answers, Answer)
    status = registration_status(
        declared,
        answers,
        raw_files,
        arguments.journal,
        made_elsewhere=any(arm.answers for arm in parts.arms.values()),
    )
    write_record(arguments.output, status)
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
