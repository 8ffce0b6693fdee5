"""Tokens, latency and money of a trial, by condition."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..config.schema import Block, Price
from ..errors import command
from ..files import read_settings, write_json
from ..parse.parts import TrialParts
from ..records import RawLine

SCHEMA_VERSION = 1


class CostSettings(Block):
    """The parts of a trial and, where one is configured, the price of its model."""

    parts: TrialParts
    price: Price | None


def costs(lines: list[RawLine], price: Price | None) -> dict[str, Any]:
    """Sums and latency quantiles over one arm's raw lines.

    Token sums are null if the engine reported none. ``latency_s`` is per request, in seconds;
    ``cost_usd`` is null without a price.
    """
    answered = [line for line in lines if line.error is None]
    tokens = {
        name: _sum([getattr(line.usage, name) for line in answered])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "requests": len(lines),
        "failed": len(lines) - len(answered),
        "truncated": sum(line.finish_reason == "length" for line in answered),
        **tokens,
        "latency_s": _latency([line.latency_s for line in answered if line.latency_s is not None]),
        "total_latency_s": round(sum(line.latency_s or 0.0 for line in answered), 3),
        "cost_usd": _cost(tokens, price),
    }


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _latency(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return {
        "mean": round(float(np.mean(seconds)), 6),
        "p50": round(float(p50), 6),
        "p95": round(float(p95), 6),
    }


def _cost(tokens: dict[str, int | None], price: Price | None) -> float | None:
    prompt, completion = tokens["prompt_tokens"], tokens["completion_tokens"]
    if price is None or prompt is None or completion is None:
        return None
    total = prompt * price.input_per_million + completion * price.output_per_million
    return round(total / 1e6, 6)


@command
def main() -> None:
    """Write local_costs.json of one trial."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    settings = read_settings(args.settings, CostSettings)
    by_condition: dict[str, list[RawLine]] = {}
    for condition, line in settings.parts.raw_lines():
        by_condition.setdefault(condition, []).append(line)
    write_json(
        args.output,
        {
            "schema_version": SCHEMA_VERSION,
            "by_condition": {
                condition: costs(lines, settings.price) for condition, lines in by_condition.items()
            },
        },
    )


if __name__ == "__main__":
    main()
