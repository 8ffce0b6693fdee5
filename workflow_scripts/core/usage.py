"""What requests use: tokens and time, as metrics of an item that no task measures."""

from __future__ import annotations

from .metric import Metric

USAGE = (
    Metric(
        "prompt_tokens",
        "prompt tokens",
        "Tokens of the prompt, as the engine counted them.",
        better="lower",
        kind="amount",
        unit="tokens",
    ),
    Metric(
        "completion_tokens",
        "answer tokens",
        "Tokens of the answer, as the engine counted them.",
        better="lower",
        kind="amount",
        unit="tokens",
    ),
    Metric(
        "latency_s",
        "latency",
        "Wall time of a request, waiting for others in flight included.",
        better="lower",
        kind="amount",
        unit="seconds",
    ),
)

THOUGHTS = (
    Metric(
        "thought_tokens",
        "thought tokens",
        "Those of the answer tokens that the model thought with, as the engine counted them.",
        better="lower",
        kind="amount",
        unit="tokens",
    ),
)
"""The same of models that think. A family of tests of its own: a model that thinks must not change
what is said of the others' tokens and time."""
