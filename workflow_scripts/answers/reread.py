"""Read the replies that the journal keeps again, and put what is read better in their place.

For a version that reads replies better, or reads more of them. Nothing is sent, and no server is
needed. What an answer says about its request (id, time, server) stays as it was.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ..backends.client import NoAnswerError, RequestError
from ..backends.http import read_json
from ..backends.table import BACKENDS
from ..core.errors import command
from ..core.files import read_jsonl, write_jsonl
from ..core.logs import log_to
from ..core.records import ANSWER_FIELDS, Completion, Decoding, RawLine, Request
from ..core.registry import load
from ..core.seals import SealWriter, seal_beside
from .journal import Journal, Reading, identity_of, sample_in

log = logging.getLogger(__name__)

_OF_REQUEST = ("request_id", "latency_s", "at_once", "served_by")


class Reread(NamedTuple):
    """What came of reading replies again: how many there were, and how many say something new."""

    replies: int
    changed: int


class Replies:
    """The kept replies of all journals.

    Args:
        journal_root: folder of all journals.
    """

    def __init__(self, journal_root: Path) -> None:
        self._journals: dict[Path, tuple[Journal, str]] = {}
        self._samples: dict[Path, str] = {}
        for path in sorted(journal_root.glob("*/*.jsonl")):
            identity = identity_of(path)
            backend = BACKENDS.get(identity["engine"]) if identity else None
            if backend is not None and backend.reader and path.parent not in self._journals:
                self._journals[path.parent] = (Journal(path.parent, identity), backend.reader)

    def reread(self, requests: Path, raw: Path) -> Reread:
        """Read the replies of a part again. Where one says something new, write the raw part.

        Args:
            requests: the batch-input part.
            raw: its raw part.

        Raises:
            UserError: a line cannot be read, or was changed after it was recorded.
        """
        lines = list(read_jsonl(raw, RawLine))
        wanted = {
            line.request_digest: line.answer_checksum
            for line in lines
            if line.request_digest and line.answer_checksum
        }
        decodings = {
            line.request_digest: request.decoding
            for line, request in zip(lines, read_jsonl(requests, Request), strict=True)
        }
        better: dict[str | None, Completion] = {}
        count = 0
        for journal, reader in self._journals.values():
            with journal:
                for digest, readings in journal.readings(wanted).items():
                    found = _reading_of(readings, wanted[digest])
                    if found is None:
                        continue
                    count += 1
                    answer = self._read(found, reader, decodings[digest])
                    if answer is None or answer.checksum(digest) == wanted[digest]:
                        continue
                    better[digest] = answer
                    if _reading_of(readings, answer.checksum(digest)) is None:
                        latest = max(each.answer.reading for each in readings)
                        journal.append(digest, answer, latest + 1)
        if better:
            seal = SealWriter(seal_beside(raw, raw.stem), [requests])
            write_jsonl(raw, (_with(line, better) for line in lines))
            seal.seal(raw)
        return Reread(count, len(better))

    def _read(self, found: Reading, reader: str, decoding: Decoding) -> Completion | None:
        """Return the answer in a reply as it is read today; None if there is none for it."""
        if found.path not in self._samples:
            self._samples[found.path] = sample_in(found.path)
        reply = found.answer.reply(self._samples[found.path])
        try:
            answer: Completion = load(reader, "the reader of replies")(read_json(reply), decoding)
        except (RequestError, NoAnswerError, ValidationError) as error:
            log.warning("%s is not read any more, and stays: %s", found.answer.digest[:12], error)
            return None
        kept = {name: getattr(found.answer.completion, name) for name in _OF_REQUEST}
        return answer.model_copy(update={**kept, "reply": reply})


def _reading_of(readings: list[Reading], checksum: str | None) -> Reading | None:
    """Return the answer with a checksum, if its reply was kept."""
    return next(
        (
            each
            for each in readings
            if each.answer.checksum == checksum and each.answer.packed_reply is not None
        ),
        None,
    )


def _with(line: RawLine, better: Mapping[str | None, Completion]) -> RawLine:
    answer = better.get(line.request_digest)
    if answer is None:
        return line
    fields = {name: getattr(answer, name) for name in ANSWER_FIELDS}
    checksum = answer.checksum(line.request_digest or "")
    return line.model_copy(update={**fields, "answer_checksum": checksum})


def parts_in(results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the requests and the answers of each part that a model was asked."""
    for raw in sorted(results.glob("*/*/*/*/raw/*.jsonl")):
        requests = raw.parents[4] / "inputs" / raw.parents[1].name / raw.name
        if requests.is_file():
            yield requests, raw


@command
def main() -> None:
    """Read all kept replies of a results folder again; nothing is sent."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the folder")
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    arguments = parser.parse_args()
    log_to(arguments.log)
    replies = Replies(arguments.results / "journal")
    parts = changed = total = 0
    for requests, raw in parts_in(arguments.results):
        found = replies.reread(requests, raw)
        total += found.replies
        changed += found.changed
        parts += bool(found.changed)
        if found.changed:
            log.info("%s: %d of %d answers are read anew", raw, found.changed, found.replies)
    log.info("%d replies read again, %d answers changed in %d parts", total, changed, parts)
    if changed:
        log.info("Run again to score the answers: nothing is sent for that.")


if __name__ == "__main__":
    main()
