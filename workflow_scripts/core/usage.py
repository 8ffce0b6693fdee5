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
