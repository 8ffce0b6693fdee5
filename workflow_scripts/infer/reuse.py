"""Which journaled answers count for a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import read_text, write_text
from ..records import Completion, Request
from .journal import Journal, Place, journal_folder, request_digest
from .locks import locked

_SUCCESSOR = "successor.txt"


@dataclass(frozen=True)
class Reuse:
    """What a client says about journaled answers.

    ``context_length``: answers that need more tokens, with all that they were allowed, are not
    used while it is so short. ``former`` is the identity under which versions before 0.2 kept the
    answers of this server; it says less about the server than today's. ``counts_exactly``: an
    answer that is cut off has all the tokens that it was allowed. Hosted models have long contexts,
    and Gemini cuts off a few tokens early, so theirs are taken as they are.
    """

    context_length: int | None = None
    former: Mapping[str, str] | None = None
    counts_exactly: bool = False

    def shortfall(self, answer: Completion, wanted: Wanted) -> str | None:
        """Return why an answer had less room than it was allowed; None if it had it."""
        return shortfall(answer, wanted.max_new_tokens) if self.counts_exactly else None


@dataclass(frozen=True)
class Wanted:
    """A request as far as it decides which journaled answer counts for it."""

    max_new_tokens: int
    former_digest: str | None

    @classmethod
    def of(cls, request: Request, reuse: Reuse) -> Wanted:
        """Return what is wanted for a request."""
        former = None if reuse.former is None else request_digest(reuse.former, request)
        return cls(request.decoding.max_new_tokens, former)


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
        if self._reuse.shortfall(answer, wanted) is not None:
            return False
        most, prompt = self._reuse.context_length, answer.usage.prompt_tokens
        return most is None or prompt is None or prompt + wanted.max_new_tokens <= most

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


def shortfall(answer: Completion, max_new_tokens: int) -> str | None:
    """Return why an answer that was cut off had less room than it was allowed; None if it had it.

    vLLM and others lower ``max_tokens`` to what is left of their context, without an error.
    Reasoning that a server leaves out of ``completion_tokens`` is in ``total_tokens``.
    """
    usage = answer.usage
    counts = [usage.completion_tokens or 0]
    if usage.total_tokens is not None and usage.prompt_tokens is not None:
        counts.append(usage.total_tokens - usage.prompt_tokens)
    made = max(counts)
    if answer.finish_reason != "length" or not 0 < made < max_new_tokens:
        return None
    return (
        f"the request did not fit: the server cut the answer off after {made} tokens, though "
        f"max_new_tokens={max_new_tokens} were allowed. Its context has no room for them after a "
        f"prompt of {_or_unknown(usage.prompt_tokens)} tokens. Start the server with a longer "
        "context, or lower max_new_tokens."
    )


def _or_unknown(count: int | None) -> str:
    return "unknown" if count is None else str(count)
