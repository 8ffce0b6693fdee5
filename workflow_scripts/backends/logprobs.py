"""How likely an answer's tokens were, from what servers report of each token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from ..core.records import Logprobs
from .http import OrNone, Reply


class Token(NamedTuple):
    """A generated token and its natural log-probability."""

    content: bytes
    logprob: float


class TokenLogprob(Reply):
    """A token as OpenAI's interface and Ollama's report it; a part of a letter has bytes alone."""

    token: str
    logprob: float
    bytes: list[Annotated[int, Field(ge=0, le=255)]] | None = None

    def read(self) -> Token:
        """Return it as we use it."""
        own = self.token.encode("utf-8", "replace") if self.bytes is None else bytes(self.bytes)
        return Token(own, self.logprob)


class ChatLogprobs(Reply):
    """What stands beside a choice; the lists are OpenAI's older form (Together, Fireworks)."""

    content: Annotated[list[TokenLogprob] | None, OrNone] = None
    tokens: Annotated[list[str] | None, OrNone] = None
    token_logprobs: Annotated[list[float | None] | None, OrNone] = None

    def read(self) -> list[Token]:
        """Return the tokens; none where nothing can be read."""
        if self.content:
            return [each.read() for each in self.content]
        pairs = zip(self.tokens or (), self.token_logprobs or (), strict=False)
        return [Token(token.encode(), value) for token, value in pairs if value is not None]


def of_answer(tokens: Sequence[Token], text: str, *, thinks: bool) -> Logprobs | None:
    """Return how likely the tokens were that an answer consists of.

    Some servers also report the tokens of thoughts before the answer, and the token that ends it.

    Args:
        tokens: all that are reported.
        text: the answer.
        thinks: whether thoughts may be among the tokens.

    Returns:
        ``None`` where it is not known which tokens are the answer's, or how likely one was.
    """
    wanted = text.strip().encode()
    if not wanted or not tokens:
        return None
    whole = b"".join(token.content for token in tokens)
    start = whole.rfind(wanted) if thinks else whole.find(wanted)
    if start < 0:
        return None if thinks else _sum(token.logprob for token in tokens)
    end, at, own = start + len(wanted), 0, []
    for token in tokens:
        if at < end and at + len(token.content) > start:
            own.append(token.logprob)
        at += len(token.content)
    return _sum(own)


def _sum(logprobs: Iterable[float]) -> Logprobs | None:
    """Return the sum; rounding may put a certain token a little above 0."""
    values = [min(value, 0.0) for value in logprobs]
    if not values or not all(map(math.isfinite, values)):
        return None
    return Logprobs(total=round(math.fsum(values), 6), tokens=len(values))
