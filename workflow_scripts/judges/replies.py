"""The verdict in a judge's reply."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from ..metrics.final_answer import final_answer
from .instruments import UNDECIDED

_OBJECT = re.compile(r"\{[^{}]*\}")


def verdict_in(reply: str, verdicts: Collection[str]) -> str:
    """Return the verdict of a reply: that of its JSON objects with the key ``verdict``.

    Reasoning around them is allowed. `UNDECIDED` where there is none, where two contradict each
    other, or where it is not among the verdicts: nothing is guessed from the wording.
    """
    found = {
        value
        for text in _OBJECT.findall(final_answer(reply))
        if (value := _verdict(text)) is not None
    }
    return found.pop() if len(found) == 1 and found <= {*verdicts} else UNDECIDED


def _verdict(text: str) -> str | None:
    try:
        value = json.loads(text).get("verdict")
    except ValueError:
        return None
    return value.strip().lower() if isinstance(value, str) else None
