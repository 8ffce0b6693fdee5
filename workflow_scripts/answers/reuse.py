"""Which journaled answers count for a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..backends.reuse import Reuse
from ..core.files import read_text, write_text
from ..core.locks import locked
from ..core.records import Completion, Request
from .journal import Journal, Place, journal_folder, request_digest

_SUCCESSOR = "successor.txt"


@dataclass(frozen=True)
class Wanted:
    """A request as far as it decides which journaled answer counts for it."""

    most_tokens: int
    former_digest: str | None

    @classmethod
    def of(cls, request: Request, reuse: Reuse) -> Wanted:
        """Return what is wanted for a request."""
        former = None if reuse.former is None else request_digest(reuse.former, request)
        return cls(request.decoding.most_tokens, former)


class Answers:
    """The journaled answers that count for a client.

    Args:
        root: folder of all journals.
        identity: who answers.
        reuse: what the client says about journaled answers.
    """

    def __init__(self, root: Path, identity: Mapping[str, str], reuse: Reuse) -> None:
        self._reuse = reuse
        self._journal = Journal(journal_folder(root, identity))
        self._former = None if reuse.former is None else Journal(journal_folder(root, reuse.former))

    def find(self, wanted: Mapping[str, Wanted], *, claim: bool) -> dict[str, Place]:
        """Return where the answers to requests stand, by the requests' digests.

        Args:
            wanted: the requests by their digests.
            claim: whether to take the former identity's answers for this identity for good.

        Raises:
            UserError: a wanted answer is not the one that was recorded.
        """

        def counts(digest: str, answer: Completion) -> bool:
            return self._counts(answer, wanted[digest])

        found = self._journal.find(wanted, counts)
        missing = {
            each.former_digest: digest
            for digest, each in wanted.items()
            if digest not in found and each.former_digest is not None
        }
        if self._former is None or not missing or not self._former_is_ours(claim=claim):
            return found

        def counted(former_digest: str, answer: Completion) -> bool:
            # Only a version before 0.2 wrote no served_by: who answered is not known.
            return answer.served_by is None and counts(missing[former_digest], answer)

        former = self._former.find(missing, counted)
        return found | {missing[each]: place for each, place in former.items()}

    def _counts(self, answer: Completion, wanted: Wanted) -> bool:
        if self._reuse.shortfall(answer, wanted.most_tokens) is not None:
            return False
        most, prompt = self._reuse.context_length, answer.usage.prompt_tokens
        return most is None or prompt is None or prompt + wanted.most_tokens <= most

    def _former_is_ours(self, *, claim: bool) -> bool:
        """Whether this identity may have the former one's answers: the first that asks, alone.

        They do not say which of two servers gave them.
        """
        assert self._former is not None  # noqa: S101 - find() looks before
        folder, own = self._former.folder, self._journal.folder.name
        if not any(folder.glob("*.jsonl")):
            return False
        successor = folder / _SUCCESSOR
        with locked(folder / f"{_SUCCESSOR}.lock"):
            if not successor.exists():
                if claim:
                    write_text(successor, f"{own}\n")
                return True
            return read_text(successor).strip() == own
