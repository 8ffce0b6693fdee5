"""What became of a response: the one definition of a correct answer and of its alternatives.

Of what applies, the first counts:

``failed``
    The request has no response (errors.csv). It has no scores either.
``refused``
    The provider says so (``finish_reason`` begins with ``refused``).
``truncated``
    The token limit cut the response off (``finish_reason`` is ``length``) before it said anything.
``empty``
    The response says nothing: it normalises to nothing ("", "...", "The."), or is punctuation
    alone. Never correct, although the official evaluation of SQuAD 2.0 gives it an exact match
    on an unanswerable item.
``correct``
    The item has an answer, and the response matches it exactly (``em`` is 1).
``rightly_abstained``, ``wrongly_abstained``
    The response says that it gives no answer. That is right on an unanswerable item and wrong on
    others.
``refused``
    The response itself says that it will or may not answer.
``truncated``
    The token limit cut the response off, so nobody knows what it would have been.
``wrong``
    Any other response.
"""

from __future__ import annotations

from ..core.records import Outcome
from ..metrics.normalisation import is_blank
from ..metrics.refusal import refuses

ABSTENTIONS: frozenset[Outcome] = frozenset({"rightly_abstained", "wrongly_abstained"})


def outcome_of(
    text: str, finish_reason: str, *, matches: bool, abstains: bool, unanswerable: bool
) -> Outcome:
    """Return the outcome of one response.

    ``matches``: ``em`` is 1 and the item has an answer. ``abstains``: what the
    `workflow_scripts.metrics.abstention` detector says of a response that does not match.
    ``unanswerable``: the item has no answer.
    """
    if finish_reason.startswith("refused"):
        return "refused"
    truncated = finish_reason == "length"
    if is_blank(text):
        return "truncated" if truncated else "empty"
    if matches:
        return "correct"
    if abstains:
        return "rightly_abstained" if unanswerable else "wrongly_abstained"
    if refuses(text):
        return "refused"
    return "truncated" if truncated else "wrong"
