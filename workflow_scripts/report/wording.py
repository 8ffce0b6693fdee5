"""Numbers and words as a reader sees them."""

from __future__ import annotations

import math
import re
from typing import Literal

from ..core.metric import Better

Standing = Literal["better", "worse", "trade-off", "unclear", "withheld"]
"""``withheld``: nothing leads, so nothing decides."""
"""How a treatment stands against the control."""

STANDING_LABELS: dict[Standing, str] = {
    "better": "Better",
    "worse": "Worse",
    "trade-off": "Trade-off",
    "unclear": "No clear difference",
    "withheld": "No verdict",
}

STATISTICS: dict[str, str] = {
    "Difference": "Treatment minus control over the same items, in percentage points.",
    "Interval": "Confidence interval that takes whole clusters (a passage with all its questions) "
    "as independent: the score interval or the cluster-robust t interval, whichever keeps its "
    "level with so much data. The naive interval takes single items as independent and is too "
    "narrow where questions share a passage.",
    "p": "Paired permutation test of the mean difference over whole clusters; Wilcoxon’s "
    "signed-rank test beside it.",
    "q": "The permutation test’s p value, adjusted for the number of tests (Benjamini–Hochberg).",
    "McNemar": "Exact test on the items that only one arm gets (the discordant pairs).",
    "Effect sizes": "Hodges–Lehmann: the typical shift of one item. Cohen’s d: mean difference in "
    "standard deviations of the differences. Cliff’s δ: −1 to 1, how far the two arms’ scores "
    "are apart.",
    "Selective risk": "Coverage is the share of requests that an arm answers; risk is the share of "
    "these answers that are wrong.",
    "Equivalence": "Two one-sided tests (TOST): is the difference clearly smaller than the margin?",
}

RATIO = (
    "The treatment’s geometric mean divided by the control’s, over the same items; ×1 is no "
    "difference."
)
"""What is said of amounts, where there are any."""

_SMALL_RATIO = 0.1

RESOURCES = {
    "cost_usd": "money, US$",
    "total_tokens": "tokens",
    "total_latency_s": "time, seconds",
}

COST_VERDICTS = {
    "dominates": "avoids false answers and uses no more",
    "trade_off": "avoids false answers but uses more",
    "avoids": "avoids false answers; no clear difference in use",
    "saves_at_a_loss": "uses less, but makes more false answers",
    "dominated": "makes more false answers and uses no less",
    "loses": "makes more false answers; no clear difference in use",
    "unclear": "no clear difference in false answers",
}


def better_words(better: Better) -> str:
    """Which direction is better, in words and with an arrow."""
    words = {"higher": "↑ higher is better", "lower": "↓ lower is better"}
    return words.get(better, "↕ neither is better by itself")


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def file_name(text: str) -> str:
    """The text as the name of a file to save, legal on every system."""
    return re.sub(r"[^\w-]+", "-", text).strip("-") or "figure"


def points(share: float | None, *, signed: bool = False) -> str:
    """A share (0 to 1) as percentage points with one decimal; ``–`` where there is none."""
    return number(None if share is None else 100 * share, 1, signed=signed)


def ratio(value: float | None) -> str:
    """A ratio with two decimals, a small one with three significant digits; ``–`` for none."""
    if value is None:
        return "–"
    return f"×{number(value) if value >= _SMALL_RATIO else significant(value)}"


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with fixed decimals, a true minus sign and no negative zero."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def significant(value: float | None, *, signed: bool = False) -> str:
    """A number of any size with three significant digits, without an exponent."""
    if value is None:
        return "–"
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return number(value, digits, signed=signed)


def p_value(value: float | None) -> str:
    """A p or q value with three digits, or ``< 0.001``."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_equation(symbol: str, value: float) -> str:
    """A p or q value in running text: ``q = 0.012`` or ``q < 0.001``."""
    text = p_value(value)
    return f"{symbol} {text}" if text.startswith("<") else f"{symbol} = {text}"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return number(value, 0)


def money(usd: float) -> str:
    """An amount in US dollars with as many digits as matter: ``US$ 0.0123``, ``US$ 12.30``."""
    return f"US$ {number(usd, 2 if usd >= 1 else 4)}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``12 s``, ``3.4 min``, ``2.1 h``."""
    if seconds < 90:
        return f"{number(seconds, 1 if seconds < 10 else 0)} s"
    if seconds < 90 * 60:
        return f"{number(seconds / 60, 1)} min"
    return f"{number(seconds / 3600, 1)} h"


def parts_question(one: str, other: str) -> str:
    """What an interaction asks about two subgroups, by their names in significance.json."""
    kind, _, value = one.partition("=")
    if not value:
        return f"Did the effect differ between {one} and {other} items?"
    kind = "the data sets" if kind == "dataset" else kind
    return f"Did the effect differ between {kind} “{value}” and “{part_name(other)}”?"


def among(subgroup: str | None) -> str:
    """Which items a number is about, to be added to its name; nothing for all items."""
    kind, _, value = (subgroup or "").partition("=")
    if not value:
        return f", {kind} items" if kind else ""
    return f", {'data set' if kind == 'dataset' else kind} “{value}”"


def part_name(subgroup: str) -> str:
    """The name of a subgroup where its kind is known."""
    return subgroup.partition("=")[2] or subgroup


def file_size(n_bytes: int) -> str:
    """A size in the unit that suits it: ``812 B``, ``1.2 kB``, ``3.4 MB``."""
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{number(value, 0 if units[0] == 'B' else 1)} {units[0]}"
