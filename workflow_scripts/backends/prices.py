"""What tokens cost: the shipped price table, the config's own prices, and local models for free."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..core.block import Block
from ..core.errors import UserError
from ..core.files import describe
from ..core.records import Usage
from ..core.registry import NameIn
from ..core.values import Share
from .settings import BackendSettings
from .table import BACKENDS

PRICE_TABLE = Path("resources/pricing.yaml")

_RATES = "{input_per_million: …, output_per_million: …}"


Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rates(Block):
    """US dollars per million tokens."""

    input_per_million: Dollars = Field(description="Prompt tokens.")
    output_per_million: Dollars = Field(description="Generated tokens, thoughts included.")
    cached_input_per_million: Dollars | None = Field(
        None, description="Prompt tokens from the provider's cache; absent: as the others."
    )
    cache_write_per_million: Dollars | None = Field(
        None,
        description="Prompt tokens put into that cache; absent: at Anthropic 1.25 times "
        "the others, else as the others.",
    )
    cache_write_1h_per_million: Dollars | None = Field(
        None,
        description="The same where the cache keeps them for an hour (Anthropic's batches); "
        "absent: there twice the others.",
    )


class LongPrompts(Rates):
    """Prices of a whole request whose prompt is long, in US dollars per million tokens."""

    over_tokens: int = Field(ge=1, description="Longer prompts than this.")


class Price(Rates):
    """Price of a model in US dollars per million tokens."""

    batch_discount: Share | None = Field(
        None, description="Share taken off in batch jobs; absent: the provider's."
    )
    long_prompts: LongPrompts | None = Field(
        None, description="Prices of requests with long prompts; absent: the same."
    )


class ProviderPrices(Block):
    """The prices of one provider, and where and when they were found.

    ``cache_write`` and ``cache_write_1h`` are how many times the price of a prompt token one costs
    that is put into the provider's cache, for models without such a price of their own.
    """

    source: str
    date: str = Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")
    batch_discount: Share
    cache_write: float = Field(1.0, ge=1)
    cache_write_1h: float = Field(1.0, ge=1)
    models: dict[str, Price]


PriceTable = dict[Annotated[str, NameIn(BACKENDS)], ProviderPrices]
"""resources/pricing.yaml: providers by the name of their backend."""


class Quote(Block):
    """The price of a model with its origin. ``batch_discount`` is the share off in batch jobs.

    ``date`` is when a price of the table was found; the config's own prices have none.
    """

    rates: Rates
    long_prompts: LongPrompts | None = None
    batch_discount: Share = 0.0
    source: str
    date: str | None = None

    @property
    def is_free(self) -> bool:
        """Whether no token costs anything."""
        rates = [self.rates] if self.long_prompts is None else [self.rates, self.long_prompts]
        return not any(
            value for each in rates for name, value in each if name.endswith("_per_million")
        )

    def usd(
        self, prompt: float, completion: float, cached: int = 0, written: int = 0, *, batch: bool
    ) -> float:
        """What one request costs in US dollars.

        Args:
            prompt: tokens of the whole prompt.
            completion: generated tokens.
            cached: tokens of the prompt that were read from the provider's cache.
            written: tokens of the prompt that were put into it; batch jobs keep them for an hour.
            batch: whether the request is part of a batch job.
        """
        rates = self._rates(prompt)
        plain = rates.input_per_million
        total = (
            max(0, prompt - cached - written) * plain
            + cached * _or(rates.cached_input_per_million, plain)
            + written * _writing(rates, batch=batch)
            + completion * rates.output_per_million
        )
        return total / 1e6 * self._share_paid(batch=batch)

    def most_usd(
        self, prompt: float, completion: int, *, written: float, longest_prompt: float, batch: bool
    ) -> float:
        """What one request costs at most in US dollars, whatever a provider's cache does.

        Args:
            prompt: tokens of the whole prompt.
            completion: tokens of the longest answer.
            written: tokens of the prompt that may be put into the cache.
            longest_prompt: tokens that the prompt may have after all; they decide whether it is
                a long one.
            batch: whether the request is part of a batch job.
        """
        rates = self._rates(longest_prompt)
        plain = max(rates.input_per_million, rates.cached_input_per_million or 0.0)
        total = (
            (prompt - written) * plain
            + written * max(plain, _writing(rates, batch=batch))
            + completion * rates.output_per_million
        )
        return total / 1e6 * self._share_paid(batch=batch)

    def _rates(self, prompt: float) -> Rates:
        long = self.long_prompts
        return long if long is not None and prompt > long.over_tokens else self.rates

    def _share_paid(self, *, batch: bool) -> float:
        return 1 - self.batch_discount if batch else 1

    def usd_of(self, usage: Usage, *, batch: bool) -> float | None:
        """What an answer costs by its engine's counts; ``None`` where a count is missing."""
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        return self.usd(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens or 0,
            usage.cache_write_tokens or 0,
            batch=batch,
        )


def quote(settings: BackendSettings, own_prices: Mapping[str, Price]) -> Quote | None:
    """The price of a backend's model: the config's, else 0 for local engines, else the table's.

    Raises:
        UserError: the price table is damaged.
    """
    provider = price_table(PRICE_TABLE).get(settings.engine)
    own = own_prices.get(settings.model)
    if own is not None:
        return _quote(own, provider, "the config (pricing)", None)
    if settings.declaration.is_local:
        free = Rates(input_per_million=0, output_per_million=0)
        return Quote(rates=free, source="runs on this machine")
    if provider is None or settings.model not in provider.models:
        return None
    return _quote(provider.models[settings.model], provider, provider.source, provider.date)


def no_price(settings: BackendSettings) -> str:
    """What to say of a model without a price."""
    return (
        f"no price is known for {settings.model}; add it to the config, "
        f"pricing: {{{settings.model}: {_RATES}}}, or to {PRICE_TABLE.as_posix()}"
    )


def _quote(price: Price, provider: ProviderPrices | None, source: str, date: str | None) -> Quote:
    discount = price.batch_discount
    if discount is None:
        discount = provider.batch_discount if provider else 0.0
    rates = Rates(**price.model_dump(include=set(Rates.model_fields)))
    long = price.long_prompts
    return Quote(
        rates=rates.model_copy(update=_cache_writes(rates, provider)),
        long_prompts=long and long.model_copy(update=_cache_writes(long, provider)),
        batch_discount=discount,
        source=source,
        date=date,
    )


def _cache_writes(rates: Rates, provider: ProviderPrices | None) -> dict[str, float]:
    """The prices of putting prompt tokens into the cache that are not given, as the provider's."""
    if provider is None:
        return {}
    factors = {
        "cache_write_per_million": provider.cache_write,
        "cache_write_1h_per_million": provider.cache_write_1h,
    }
    return {
        name: rates.input_per_million * factor
        for name, factor in factors.items()
        if factor > 1 and getattr(rates, name) is None
    }


@functools.cache
def price_table(path: Path) -> PriceTable:
    """Return the prices in a file by backend.

    Raises:
        UserError: the file is damaged.
    """
    from ..core.yaml_file import read_yaml

    try:
        return TypeAdapter(PriceTable).validate_python(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path.as_posix()}: {describe(error)}") from error


def _writing(rates: Rates, *, batch: bool) -> float:
    """The price of what is put into the cache, which batch jobs ask to keep for an hour."""
    kept = rates.cache_write_1h_per_million if batch else None
    return _or(rates.cache_write_per_million, rates.input_per_million) if kept is None else kept


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def dollars(amount: float) -> str:
    """An amount for people: cents, or as many digits as a small one needs."""
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.2g}"
