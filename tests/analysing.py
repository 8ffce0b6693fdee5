"""A model that answers the questions of analyses by rule."""

from __future__ import annotations

import json

INTENT = {"primary": "time_series", "confidence": 0.8, "reasoning": "It asks about development."}
ADAPTATION = {
    "changes": [
        {"action": "remove", "step_id": "second"},
        {"action": "modify", "step_id": "level", "params": {"by": "region"}},
        {"action": "add", "step_id": "by_channel", "tool": "bar", "description": "By channel",
         "params": {"x": "chanel", "y": "revenue"}},
        {"action": "add", "step_id": "pie", "tool": "pie", "params": {"x": "region"}},
    ],
    "rationale": "The question names <b>regions</b> | and revenue.",
}  # fmt: skip
REPAIR = {
    "changes": [
        {"action": "add", "step_id": "by_channel", "tool": "bar", "description": "By channel",
         "params": {"x": "channel", "y": "revenue"}},
        {"action": "add", "step_id": "pie", "tool": "donut", "params": {"x": "region"}},
    ],
    "rationale": "The column is called channel.",
}  # fmt: skip


def by_rule(asked: str) -> str:
    """What the server says to the last message of a chat."""
    if "Decide which kind of analysis" in asked:
        return json.dumps(INTENT)
    if asked.startswith("These changes cannot be applied"):
        return json.dumps(REPAIR)
    return json.dumps(ADAPTATION) if "Adapt a general plan" in asked else "?"
