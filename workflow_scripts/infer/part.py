"""One part: its requests, its answers in the journal, and the raw part that it becomes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from ..files import read_jsonl, write_jsonl
from ..records import Completion, Failure, RawLine, Request, RequestMeta
from .client import RequestError
from .failures import record_failures
from .journal import Journal, Place, journal_folder, request_digest
from .reuse import Answers, Reuse, Wanted

log = logging.getLogger(__name__)


class Part:
    """One part: its requests, and what is known of each.

    Args:
        input_path: the batch-input part.
        identity: who answers, as its client says.
        journal_root: folder of all journals.
        reuse: what the client says about journaled answers.
    """

    def __init__(
        self,
        input_path: Path,
        identity: Mapping[str, str],
        journal_root: Path,
        reuse: Reuse = Reuse(),  # noqa: B008 - it is immutable
    ) -> None:
        self.name = input_path.stem
        self._input_path = input_path
        self._identity = identity
        self.journal = Journal(journal_folder(journal_root, identity), identity)
        self.answers: dict[str, Place] = {}
        self.failures: dict[str, RequestError] = {}
        self._digests: list[str] = []
        self._wanted: dict[str, Wanted] = {}
        self._reuse = reuse
        self._journaled = Answers(journal_root, identity, reuse)

    @property
    def missing(self) -> int:
        """Different requests without an answer."""
        return len(set(self._digests)) - len(self.answers)

    def look_up(self) -> None:
        """Find what the journal holds."""
        self._digests = []
        for each in self._requests():
            digest = request_digest(self._identity, each)
            self._digests.append(digest)
            if digest not in self._wanted:
                self._wanted[digest] = Wanted.of(each, self._reuse)
        self.answers = self._journaled.find(self._wanted, claim=True)
        log.info(
            "%s: %d requests, %d answered before, %d to send",
            self.name,
            len(self._digests),
            sum(digest in self.answers for digest in self._digests),
            self.missing,
        )

    @property
    def digest(self) -> str:
        """The digest of all that is asked."""
        return hashlib.sha256("".join(self._digests).encode()).hexdigest()

    @property
    def size(self) -> int:
        """The number of requests, equal ones included."""
        return len(self._digests)

    def unanswered(self) -> Iterator[tuple[str, Request]]:
        """Each different request that may still get an answer, once, with its digest."""
        done = {digest for digest, error in self.failures.items() if not error.retryable}
        for digest, request in zip(self._digests, self._requests(), strict=True):
            if digest not in self.answers and digest not in done:
                done.add(digest)
                yield digest, request

    def answer(self, digest: str, completion: Completion) -> None:
        """Keep an answer; one for which there was too little room counts as a failure."""
        wanted = self._wanted.get(digest)
        problem = wanted and self._reuse.shortfall(completion, wanted)
        if problem:
            log.warning("%s: %s", self.name, problem)
            self.fail(digest, RequestError(problem, retryable=False))
            return
        self.answers[digest] = self.journal.append(digest, completion)
        self.failures.pop(digest, None)

    def fail(self, digest: str, error: RequestError) -> None:
        """Note that a request has no answer."""
        self.failures[digest] = error

    def write(self, output_path: Path) -> None:
        """Write the raw part, and beside it which requests are to be tried again."""
        for digest in self._digests:
            if digest not in self.answers:
                self.failures.setdefault(digest, RequestError("no answer came", retryable=True))
        again = {digest for digest, error in self.failures.items() if not error.final}
        record_failures(
            output_path,
            [
                request.custom_id
                for digest, request in zip(self._digests, self._requests(), strict=True)
                if digest in again
            ],
        )
        write_jsonl(
            output_path,
            (
                self._raw_line(digest, request)
                for digest, request in zip(self._digests, self._requests(), strict=True)
            ),
        )

    def _requests(self) -> Iterator[Request]:
        return read_jsonl(self._input_path, Request)

    def _raw_line(self, digest: str, request: Request) -> RawLine:
        echoed = request.model_dump(include=set(RequestMeta.model_fields))
        place = self.answers.get(digest)
        if place is None:
            error = self.failures[digest]
            failure = Failure(type=type(error).__name__, message=str(error))
            return RawLine(**echoed, request_digest=digest, error=failure)
        answer = self.journal.read(place)
        former = self._wanted[digest].former_digest
        if former is not None and place.path.parent != self.journal.folder:
            digest = former  # under which it was asked, and stands in the journal
        return RawLine(
            **echoed,
            request_digest=digest,
            answer_checksum=answer.checksum(digest),
            **{name: getattr(answer, name) for name in Completion.model_fields},
        )


@contextlib.contextmanager
def only_writer(lock_path: Path) -> Iterator[None]:
    """Hold the part's lock, waiting for an earlier process that still answers it.

    When Snakemake is killed, its jobs live on; the next run's job for the same part must not ask
    what that one is asking.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: a process of an earlier run still answers it; waiting", lock_path.stem)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
