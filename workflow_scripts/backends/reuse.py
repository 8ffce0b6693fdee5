"""What a client says about answers that were journaled before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.records import Completion


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

    def shortfall(self, answer: Completion, max_new_tokens: int) -> str | None:
        """Return why an answer had less room than it was allowed; None if it had it."""
        return shortfall(answer, max_new_tokens) if self.counts_exactly else None


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
