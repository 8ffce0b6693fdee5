"""Scripts for `ProviderServer.faults`: which request meets which fault."""

from __future__ import annotations

from collections.abc import Callable


def always(what: str, fault: str) -> Callable[[str, int], str]:
    """Every try of one request fails in this way; ``what`` is its question or call."""
    return lambda asked, tries: fault if asked == what else ""


def first_try(what: str, fault: str) -> Callable[[str, int], str]:
    """The first try of one request fails in this way."""
    return lambda asked, tries: fault if asked == what and not tries else ""
