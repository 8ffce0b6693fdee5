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
import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..config.schema import Block, Stats
from ..errors import command
from ..files import read_settings, write_json
from ..parse.parts import ParseSettings


class Declaration(Block):
    """A recorded declaration: ``content`` is what decides the answer to the primary question."""

    digest: str
    declared_at: datetime
    content: dict[str, Any]


class RegistrationStatus(Block):
    """registration.json of a trial. Times are UTC; ``evidence`` is the file that holds the answer.

    ``first_answer_at`` is a time before which no answer arrived, ``None`` without any answer.
    """

    digest: str
    declared_at: datetime
    first_answer_at: datetime | None
    evidence: str | None
    before_first_answer: bool


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
        write_json(path, declared.model_dump(mode="json"))
    return path.as_posix()


def first_answer(
    request_ids: frozenset[str], raw_files: Iterable[Path], journal: Path
) -> tuple[datetime, str] | None:
    """A time before which none of these answers arrived, and the file that it is taken from.

    A journal file is named after the time of its first answer and never changed; a raw part is
    as old as its last change. The earliest of both counts. ``journal`` is the folder of all
    journals.
    """
    found: list[tuple[datetime, str]] = []
    for path in sorted(journal.glob("*/*.jsonl"), key=journal_time):
        if holds_any(path, request_ids):
            found.append((journal_time(path), path.as_posix()))
            break
    for path in raw_files:
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        found.append((changed, path.as_posix()))
    return min(found, default=None)


def journal_time(path: Path) -> datetime:
    """When a journal file was opened, from its name; else when it was last changed."""
    first = path.name.split("-")[0]
    seconds = int(first) / 1e9 if first.isdecimal() else path.stat().st_mtime
    return datetime.fromtimestamp(seconds, UTC)


def holds_any(path: Path, request_ids: frozenset[str]) -> bool:
    """Whether a journal file has the answer to any of these requests."""
    with path.open("rb") as stream:
        for line in stream:
            # A line whose writer was killed, or whose disk was full, holds no answer.
            with contextlib.suppress(ValueError, KeyError):
                if json.loads(line)["completion"]["request_id"] in request_ids:
                    return True
    return False


@command
def main() -> None:
    """Write registration.json: whether a trial's declaration came before its first answer."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--declaration", type=Path, required=True, help="recorded declaration")
    parser.add_argument("--settings", type=Path, required=True, help="ParseSettings as JSON")
    parser.add_argument("--journal", type=Path, required=True, help="folder of all journals")
    parser.add_argument("--output", type=Path, required=True, help="registration.json")
    arguments = parser.parse_args()

    declared = read_settings(arguments.declaration, Declaration)
    parts = read_settings(arguments.settings, ParseSettings).parts
    answered = frozenset(line.request_id for _, line in parts.raw_lines() if line.request_id)
    raw_files = [Path(name) for name in parts.raw_files()]
    first = first_answer(answered, raw_files, arguments.journal) if answered else None
    status = RegistrationStatus(
        digest=declared.digest,
        declared_at=declared.declared_at,
        first_answer_at=first[0] if first else None,
        evidence=first[1] if first else None,
        before_first_answer=first is None or declared.declared_at < first[0],
    )
    write_json(arguments.output, status.model_dump(mode="json"))


if __name__ == "__main__":
    main()
