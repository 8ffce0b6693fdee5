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
    found = {each for text in _OBJECT.findall(final_answer(reply)) for each in _verdicts(text)}
    return found.pop() if len(found) == 1 and found <= {*verdicts} else UNDECIDED


def _verdicts(text: str) -> list[str]:
    """The texts under the key ``verdict``, which an object may have twice."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError:
        return []
    return [
        value.strip().lower() for key, value in pairs if key == "verdict" and isinstance(value, str)
    ]
