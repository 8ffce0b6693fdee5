"""The shipped prices against a public table of prices that other people keep."""

from __future__ import annotations

import datetime

import pytest
from genai_prices import Usage, calc_price

from workflow_scripts.backends.prices import PRICE_TABLE, Price, price_table

PROVIDERS = {"fireworks": "fireworks", "openai": "openai", "anthropic": "anthropic"} | {
    "gemini": "google"
}

NOT_THERE = {
    "accounts/fireworks/models/deepseek-v3p1",
    "accounts/fireworks/models/glm-5",
}
"""Models that only the provider's page has."""

CASES = [
    pytest.param(provider, model, price, found.date, id=model)
    for provider, found in price_table(PRICE_TABLE).items()
    for model, price in found.models.items()
    if model not in NOT_THERE
]


def test_the_table_covers_about_a_hundred_models() -> None:
    assert len(CASES) > 100


@pytest.mark.parametrize(("provider", "model", "price", "date"), CASES)
def test_the_shipped_prices_are_those_of_genai_prices(
    provider: str, model: str, price: Price, date: str
) -> None:
    at = datetime.datetime.fromisoformat(f"{date}T12:00:00+00:00")
    sizes = {1_000: price}
    if price.long_prompts is not None:
        sizes |= {
            price.long_prompts.over_tokens: price,
            price.long_prompts.over_tokens + 1: price.long_prompts,
        }
    for tokens, rates in sizes.items():
        theirs = calc_price(
            Usage(input_tokens=tokens, output_tokens=1_000),
            model,
            provider_id=PROVIDERS[provider],
            genai_request_timestamp=at,
        )
        assert float(theirs.input_price) == pytest.approx(rates.input_per_million * tokens / 1e6)
        assert float(theirs.output_price) == pytest.approx(rates.output_per_million / 1e3)
