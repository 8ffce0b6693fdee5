"""One part: its requests, its answers in the journal, and the raw part that it becomes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ..backends.capabilities import dropped
from ..backends.client import InferenceClient, ReplyReader, RequestError, UnreadableReplyError
from ..backends.reuse import Reuse
from ..backends.schema import enforcement
from ..backends.servers import shape_at
from ..backends.table import BACKENDS
from ..core.files import read_jsonl, write_jsonl
from ..core.records import (
    ANSWER_FIELDS,
    Completion,
    Enforced,
    Failure,
    RawLine,
    Request,
    RequestMeta,
)
from ..core.seals import SealWriter, seal_beside
from .failures import record_failures
from .journal import Journal, Place, journal_folder, request_digest
from .prefix_order import prefix_order
from .reuse import Answers, Wanted

log = logging.getLogger(__name__)

_PROMPT_FOLLOWS = b'"messages":'
"""What comes before the prompt in a line of a batch-input part."""


class Part:
    """One part: its requests, and what is known of each.

    Args:
        input_path: the batch-input part.
        identity: who answers, as its client says.
        journal_root: folder of all journals.
        reuse: what the client says about journaled answers.

    Attributes:
        is_retest: whether it has requests that were sent before.

    Raises:
        UserError: a request's JSON schema cannot be enforced.
    """

    def __init__(
        self,
        input_path: Path,
        identity: Mapping[str, str],
        journal_root: Path,
        reuse: Reuse = Reuse(),  # noqa: B008 - it is immutable
    ) -> None:
        self.name = input_path.stem
        self.identity = dict(identity)
        self._input_path = input_path
        self.journal = Journal(journal_folder(journal_root, identity), identity)
        self.answers: dict[str, Place] = {}
        self.failures: dict[str, RequestError] = {}
        self._reuse = reuse
        self._journaled = Answers(journal_root, identity, reuse)
        self._kept: dict[str, Place] = {}
        self._digests: list[str] = []
        self._wanted: dict[str, Wanted] = {}
        self._enforced: dict[str, Enforced | None] = {}
        self.is_retest = False
        for request in self._requests():
            self.is_retest |= request.retest
            digest = request_digest(identity, request)
            self._digests.append(digest)
            if digest not in self._wanted:
                self._wanted[digest] = Wanted.of(request, reuse)
                self._enforced[digest] = enforcement(identity, request)

    @property
    def missing(self) -> int:
        """Different requests without an answer."""
        # An answer that came with a batch job may be another part's.
        return len(set(self._digests) - self.answers.keys())

    @property
    def untried(self) -> set[str]:
        """The digests of requests that have neither an answer nor, in this process, failed."""
        return set(self._digests) - self.answers.keys() - self.failures.keys()

    def look_up(self) -> None:
        """Find what the journal holds."""
        self.answers = self._journaled.find(self._wanted, claim=True)
        self._kept = self.journal.kept(set(self._digests) - self.answers.keys())
        for digest, place in self._kept.items():
            if not isinstance(self.failures.get(digest), UnreadableReplyError):
                self.failures[digest] = _kept_error(digest, "the reply cannot be read", place)
        log.info(
            "%s: %d requests, %d answered before, %d to send",
            self.name,
            len(self._digests),
            sum(digest in self.answers for digest in self._digests),
            self.missing - len(self._kept),
        )
        if self._kept:
            log.info("%s: %d replies are kept that could not be read", self.name, len(self._kept))

    def read_kept(self, client: InferenceClient) -> None:
        """Read the replies again that could not be read when they came; those of `look_up`."""
        if not isinstance(client, ReplyReader) or not self._kept:
            return
        pairs = zip(self._digests, self._requests(), strict=True)
        requests = {digest: request for digest, request in pairs if digest in self._kept}
        with self.journal:
            for digest, place in self._kept.items():
                request, kept = requests[digest], self.journal.read_kept(place)
                try:
                    answer = client.read_reply(
                        kept.reply, request.messages, request.decoding, kept.latency_s
                    )
                except RequestError as error:
                    self.failures[digest] = _kept_error(digest, str(error), place)
                else:
                    self.answer(digest, answer)
        self._kept.clear()

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

    def in_prefix_order(self, digests: Collection[str]) -> Iterator[tuple[str, Request]]:
        """Each of these requests once, with its digest; see prefix_order.py."""
        left = set(digests)
        places: list[tuple[str, int]] = []

        def prompts(lines: Iterable[bytes]) -> Iterator[bytes]:
            offset = 0
            for digest, line in zip(self._digests, lines, strict=True):
                if digest in left:
                    left.remove(digest)
                    places.append((digest, offset))
                    yield line.partition(_PROMPT_FOLLOWS)[2]
                offset += len(line)

        with self._input_path.open("rb") as stream:
            for number in prefix_order(prompts(stream)):
                digest, offset = places[number]
                stream.seek(offset)
                yield digest, Request.model_validate_json(stream.readline())

    def answer(self, digest: str, completion: Completion) -> None:
        """Keep an answer; one for which there was too little room counts as a failure."""
        wanted = self._wanted.get(digest)
        problem = wanted and self._reuse.shortfall(completion, wanted.most_tokens)
        if problem:
            log.warning("%s: %s", self.name, problem)
            self.fail(digest, RequestError(problem, retryable=False))
            return
        self.answers[digest] = self.journal.append(digest, completion)
        self.failures.pop(digest, None)

    def keep(self, digest: str, error: UnreadableReplyError) -> None:
        """Keep a reply that cannot be read."""
        place = self.journal.keep(digest, error.reply, error.latency_s)
        self.failures[digest] = _kept_error(digest, str(error), place)

    def fail(self, digest: str, error: RequestError) -> None:
        """Note that a request has no answer."""
        self.failures[digest] = error

    def write(self, output_path: Path) -> None:
        """Write the raw part, and beside it the requests without an answer."""
        for digest in self._digests:
            if digest not in self.answers:
                self.failures.setdefault(digest, RequestError("no answer came", retryable=True))
        record_failures(
            output_path,
            [
                request.custom_id
                for digest, request in zip(self._digests, self._requests(), strict=True)
                if digest not in self.answers
            ],
        )
        seal = SealWriter(seal_beside(output_path, self.name), [self._input_path])
        write_jsonl(
            output_path,
            (
                self._raw_line(digest, request)
                for digest, request in zip(self._digests, self._requests(), strict=True)
            ),
        )
        seal.seal(output_path)

    def _requests(self) -> Iterator[Request]:
        return read_jsonl(self._input_path, Request)

    def _raw_line(self, digest: str, request: Request) -> RawLine:
        echoed = request.model_dump(include=set(RequestMeta.model_fields))
        place = self.answers.get(digest)
        if place is None:
            error = self.failures[digest]
            failure = Failure(type=type(error).__name__, message=str(error))
            return RawLine(**echoed, request_digest=digest, error=failure)
        answer, enforced = self.journal.read(place), self._enforced[digest]
        former = self._wanted[digest].former_digest
        if former is not None and place.path.parent != self.journal.folder:
            digest = former  # under which it was asked, and stands in the journal
        return RawLine(
            **echoed,
            request_digest=digest,
            not_sent=self._not_sent(request),
            answer_checksum=answer.checksum(digest),
            schema_enforced=enforced,
            **{name: getattr(answer, name) for name in ANSWER_FIELDS},
        )

    def _not_sent(self, request: Request) -> list[str] | None:
        """The decoding parameters that the model does not take, by their names."""
        engine, model = self.identity["engine"], self.identity.get("model", "")
        if engine not in BACKENDS:  # of tests and of services that brought none
            return None
        return sorted(dropped(engine, model, request.decoding, shape_at(self.identity))) or None


def _kept_error(digest: str, problem: str, place: Place) -> UnreadableReplyError:
    """Return the error of a request whose reply is kept; its request is not sent again."""
    return UnreadableReplyError(
        f"{problem}. The reply may be paid for, so it is kept and read again at each start. To "
        f"send the request again, delete the line with {digest[:12]} from {place.path.as_posix()}",
        "",
    )
