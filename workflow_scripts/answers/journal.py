"""The journal: every answer that was ever received, found again by what was asked.

Answers of one identity (backend and model) lie together, whatever the config calls them, in a
folder of append-only JSON-lines files: one per writing process, so that writers need no lock and
a killed one leaves at most one torn last line. Nothing is ever changed or removed in it.

The first line of a file is ``{"identity": …}``. Each answer is a line ``{"digest": …,
"completion": …, "checksum": …, "reply": …}``; files of versions before 0.2 have neither identity
nor checksum, and no answer of theirs or of a model in this process has a reply. The reply is the
server's, as it came, packed (`replies`) with the help of a line ``{"sample": …}`` before it.

An answer that was read again from its reply is a further line, with the number of its reading as
``read``. The answer of the latest reading counts.

A reply that came whole but could not be read is a line ``{"digest": …, "unread": …, "latency_s": …,
"checksum": …}``. It is offered to the client's reader at each start, and its request is not sent
again while the line is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..backends.schema import dialect_of
from ..backends.table import BACKENDS
from ..core.errors import UserError
from ..core.files import AppendedFile
from ..core.records import Completion, Request
from ..schemas.dialect import ordered_text
from .journal_index import DIGEST, line_number, lines_with
from .replies import pack, pack_sample, unpack, unpack_sample

_UNREAD_KEY = b'","unread":'
_UNREAD = slice(DIGEST.stop, DIGEST.stop + len(_UNREAD_KEY))
_SAMPLE = b'{"sample":'
_LEAST_FREE_BYTES = 32 * 2**20  # far more than the answers in flight


def request_digest(identity: Mapping[str, str], request: Request) -> str:
    """The digest of all that decides an answer: who is asked, what, how, and which sample.

    Names (item, data set, prompt, part) are not in it: the same question under another name has
    the same answer. Of a schema also the order of its properties counts, and how it is enforced.
    A request that is sent a second time to compare its answers has a digest of its own.
    """
    asked: dict[str, Any] = {
        "identity": dict(identity),
        "messages": [message.model_dump() for message in request.messages],
        "decoding": request.decoding.model_dump(),
        "sample_index": request.sample_index,
    }
    if request.retest:
        asked["retest"] = True
    if (schema := asked["decoding"].pop("json_schema", None)) is not None:
        dialect = dialect_of(identity)
        by = None if dialect is None else f"{dialect.name} {dialect.version}"
        asked["schema"] = {"text": ordered_text(schema), "enforced_by": by}
    # A folder that somebody sent may be of a backend that is not installed here.
    backend = BACKENDS.get(identity.get("engine", ""))
    if backend and backend.new_rules and (rules := backend.new_rules(request)):
        asked["rules"] = rules
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def journal_folder(root: Path, identity: Mapping[str, str]) -> Path:
    """Where the answers of an identity lie."""
    text = json.dumps(dict(identity), sort_keys=True)
    return root / f"{identity['engine']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class Place(NamedTuple):
    """Where an answer stands in the journal."""

    path: Path
    offset: int


class Journal:
    """One folder of answers. Use as a context manager while appending.

    Args:
        folder: the `journal_folder` of an identity.
        identity: who answers; the first line of each file that is written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._identity = identity
        # Unique: two writers never share a file, wherever and whenever they run.
        name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = AppendedFile(folder / name)
        self._sample: str | None = None

    def find(
        self,
        digests: Collection[str],
        counts: Callable[[str, Completion], bool] = lambda digest, answer: True,
    ) -> dict[str, Place]:
        """Where the answers to the given requests stand, for those that the journal holds.

        Of several, that of the latest reading, and of these the first.

        Args:
            digests: the requests.
            counts: whether an answer to a request (by its digest) is to be found.

        Raises:
            UserError: a wanted answer is not the one that was recorded.
        """
        wanted = {digest.encode() for digest in digests}
        found: dict[str, Place] = {}
        readings: dict[str, int] = {}
        for path, offset, line in lines_with(self.folder, wanted):
            answer = _answer_in(line)
            if answer is None:
                continue
            if not answer.is_intact:
                raise edited(path, line_number(path, offset))
            is_later = answer.reading > readings.get(answer.digest, 0)
            if is_later and counts(answer.digest, answer.completion):
                found[answer.digest] = Place(path, offset)
                readings[answer.digest] = answer.reading
        return found

    def read(self, place: Place) -> Completion:
        """The answer at a place that `find` or `append` gave."""
        with place.path.open("rb") as stream:
            stream.seek(place.offset)
            answer = _answer_in(stream.readline())
        assert answer is not None, place  # noqa: S101 - nothing is ever removed from a journal
        return answer.completion

    def append(self, digest: str, completion: Completion, reading: int = 1) -> Place:
        """Record an answer. It survives a kill at once, and a power cut after a second.

        Args:
            digest: of its request.
            completion: the answer, with the reply that it was read from.
            reading: how often that reply has been read.

        Raises:
            UserError: the disk is full, or nearly so.
        """
        answer = completion.model_dump(exclude_none=True)
        line: dict[str, Any] = {
            "digest": digest,
            "completion": answer,
            "checksum": completion.checksum(digest),
        }
        if completion.reply is not None:
            if self._sample is None:
                self._append({"sample": pack_sample(completion.reply)})
                self._sample = completion.reply
            line["reply"] = pack(completion.reply, self._sample, digest, answer)
        if reading > 1:
            line["read"] = reading
        return self._append(line)

    def readings(self, digests: Collection[str]) -> dict[str, list[Reading]]:
        """Return all answers to the given requests, each with where it stands.

        Raises:
            UserError: an answer is not the one that was recorded.
        """
        found: dict[str, list[Reading]] = {}
        for path, offset, line in lines_with(self.folder, {each.encode() for each in digests}):
            if (answer := _answer_in(line)) is not None:
                if not answer.is_intact:
                    raise edited(path, line_number(path, offset))
                found.setdefault(answer.digest, []).append(Reading(path, answer))
        return found

    def keep(self, digest: str, reply: str, latency_s: float | None) -> Place:
        """Record a reply that could not be read, as it came.

        Raises:
            UserError: the disk is full, or nearly so.
        """
        line = {"digest": digest, "unread": reply, "latency_s": latency_s}
        return self._append(line | {"checksum": _checksum(digest, reply, latency_s)})

    def kept(self, digests: Collection[str]) -> dict[str, Place]:
        """Where the replies to the given requests are that could not be read.

        Raises:
            UserError: a kept reply is not the one that was recorded.
        """
        wanted = {digest.encode() for digest in digests}
        found: dict[str, Place] = {}
        for path, offset, line in lines_with(self.folder, wanted):
            reply = _reply_in(line) if line[_UNREAD] == _UNREAD_KEY else None
            if reply is None:
                continue
            if not reply.is_intact:
                raise edited(path, line_number(path, offset))
            found[reply.digest] = Place(path, offset)
        return found

    def read_kept(self, place: Place) -> KeptReply:
        """The reply at a place that `kept` or `keep` gave."""
        with place.path.open("rb") as stream:
            stream.seek(place.offset)
            reply = _reply_in(stream.readline())
        assert reply is not None, place  # noqa: S101 - nothing is ever removed from a journal
        return reply

    def _append(self, line: Mapping[str, Any]) -> Place:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        try:
            is_new = not self._file.is_open and not self._file.path.exists()
            if self._identity is not None and is_new:
                self._file.append(json.dumps({"identity": dict(self._identity)}))
            return Place(self._file.path, self._file.append(text))
        except OSError as error:
            raise UserError(
                f"{self.folder}: an answer cannot be written ({error.strerror}). Free some space "
                "and start again: what was answered before is kept and not asked again."
            ) from error

    def check_space(self) -> None:
        """See that answers which are under way will still fit on the disk.

        Raises:
            UserError: they may not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < _LEAST_FREE_BYTES:
            raise UserError(
                f"{self.folder}: only {free / 2**20:.0f} MiB are free on this disk, so nothing "
                "more is asked. Free some space and start again; all answers so far are kept."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class JournaledAnswer(NamedTuple):
    """An answer as a line of the journal holds it."""

    digest: str
    completion: Completion
    checksum: str | None
    packed_reply: str | None = None
    reading: int = 1

    def reply(self, sample: str) -> str:
        """Return the reply that it was read from; ``sample`` is that of its file.

        Raises:
            UserError: it is not the one that was recorded.
        """
        answer = self.completion.model_dump(exclude_none=True)
        return unpack(self.packed_reply or "", sample, self.digest, answer)

    @property
    def is_intact(self) -> bool:
        """Whether it is what was recorded, as far as a checksum tells."""
        return self.checksum in (None, self.completion.checksum(self.digest))


class Reading(NamedTuple):
    """An answer, and the journal file that it stands in."""

    path: Path
    answer: JournaledAnswer


class KeptReply(NamedTuple):
    """A reply that could not be read, as a line of the journal holds it."""

    digest: str
    reply: str
    latency_s: float | None
    checksum: str

    @property
    def is_intact(self) -> bool:
        """Whether it is what was recorded."""
        return self.checksum == _checksum(self.digest, self.reply, self.latency_s)


def answers_in(path: Path, wanted: Container[bytes]) -> Iterator[tuple[int, JournaledAnswer]]:
    """Yield line number and answer for each wanted digest that a journal file holds.

    All lines are read, whatever the index says. Lines are told apart by their first bytes, at the
    speed of the disk. A torn line (its writer was killed, or its disk was full) holds no answer.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line[DIGEST] in wanted and (answer := _answer_in(line)) is not None:
                yield number, answer


def sample_in(path: Path) -> str:
    """Return the sample that the replies in a journal file were packed with; empty without one.

    Raises:
        UserError: it is not the one that was recorded.
    """
    with path.open("rb") as stream:
        line = next((each for each in stream if each.startswith(_SAMPLE)), None)
    try:
        return "" if line is None else unpack_sample(json.loads(line)["sample"])
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: the sample of its replies was changed; {error}") from error


def identity_of(path: Path) -> dict[str, str] | None:
    """Return who gave a journal file's answers; files of versions before 0.2 do not say."""
    with path.open("rb") as stream:
        try:
            first = json.loads(stream.readline())
        except ValueError:
            return None
    identity = first.get("identity") if isinstance(first, dict) else None
    return identity if isinstance(identity, dict) and "engine" in identity else None


def identities(root: Path, engine: str) -> Iterator[dict[str, str]]:
    """Yield who gave answers by an engine, as far as the files in their folders say it."""
    for folder in sorted(root.glob(f"{engine}-*")):
        told = (identity_of(path) for path in sorted(folder.glob("*.jsonl")))
        if (found := next((each for each in told if each is not None), None)) is not None:
            yield found


def edited(path: Path, number: int) -> UserError:
    """Return the error for a line of the journal that was changed after it was written."""
    return UserError(
        f"{path}, line {number}: this answer was changed after it was recorded (its checksum does "
        "not match). Restore the file from a backup, or delete the line to have the request sent "
        "again."
    )


def _answer_in(line: bytes) -> JournaledAnswer | None:
    """The answer that a line holds, or None if it is torn or holds none."""
    try:
        data = json.loads(line)
        completion = Completion.model_validate(data["completion"])
        return JournaledAnswer(
            data["digest"],
            completion,
            data.get("checksum"),
            data.get("reply"),
            data.get("read", 1),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _reply_in(line: bytes) -> KeptReply | None:
    """The kept reply that a line holds, or None if it is torn."""
    try:
        data = json.loads(line)
        return KeptReply(data["digest"], data["unread"], data["latency_s"], data["checksum"])
    except (ValueError, KeyError, TypeError):
        return None


def _checksum(digest: str, reply: str, latency_s: float | None) -> str:
    """The checksum of a reply as the reply to one request (64 hex digits)."""
    return hashlib.sha256(f"{digest}\n{latency_s}\n{reply}".encode()).hexdigest()
