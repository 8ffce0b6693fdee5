"""What an avoided false answer costs: cost_effectiveness.json.

Costs are known for whole arms, so both costs and false answers are taken per request over all
tasks and temperatures of the trial.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..errors import UserError, command
from ..files import read_settings, write_json
from ..seals import SealWriter, add_seal_argument

SCHEMA_VERSION = 1

RESOURCES = ("cost_usd", "total_tokens", "total_latency_s")

Verdict = Literal["dominates", "trade_off", "saves_at_a_loss", "dominated", "unclear"]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FalseAnswers(_Read):
    """The difference in false answers per request, treatment minus control."""

    n_requests: int
    difference: float
    ci_low: float | None
    ci_high: float | None
    ci_trusted: bool


class Significance(_Read):
    """What is read of significance.json."""

    control: str
    false_answers: dict[str, FalseAnswers]


class ArmMoney(_Read):
    """What is read of one arm in costs.json; ``None`` is unknown."""

    cost_usd: float | None = None


class Money(_Read):
    """What is read of costs.json."""

    by_condition: dict[str, ArmMoney]


class ArmCosts(_Read):
    """What an arm used: local_costs.json, with the money from costs.json; ``None`` is unknown."""

    requests: int = 0
    cost_usd: float | None = None
    total_tokens: float | None = None
    total_latency_s: float | None = None

    def per_request(self, resource: str) -> float | None:
        """Use of a resource by one request on average; batch jobs have no latency of their own."""
        used: float | None = getattr(self, resource)
        if resource == "total_latency_s" and used == 0:
            return None
        return None if used is None or not self.requests else used / self.requests


class Costs(_Read):
    """What is read of local_costs.json."""

    by_condition: dict[str, ArmCosts]


@dataclass(frozen=True)
class CostEffectiveness:
    """A resource against the false answers that it avoids (or saves at).

    ``extra_per_request``: treatment minus control. ``per_avoided``: extra use for each false
    answer avoided (the incremental cost-effectiveness ratio), with its ends from those of the
    difference in false answers; costs are sums, not samples, and count as exact. ``None`` unless
    the treatment clearly avoids false answers, because the ratio then has no finite interval.

    ``verdict``: dominates (avoids false answers and uses no more), trade_off (avoids them for
    more), saves_at_a_loss (makes more of them for less), dominated (makes more of them and uses
    no less), unclear (the interval of the difference has 0 in it).
    """

    extra_per_request: float
    per_avoided: float | None
    per_avoided_low: float | None
    per_avoided_high: float | None
    verdict: Verdict


def cost_effectiveness(extra: float, difference: FalseAnswers) -> CostEffectiveness:
    """Relate the extra use of a resource per request to the difference in false answers."""
    low, high = difference.ci_low, difference.ci_high
    if low is None or high is None or low <= 0 <= high:
        return CostEffectiveness(extra, None, None, None, "unclear")
    if low > 0:
        verdict: Verdict = "saves_at_a_loss" if extra < 0 else "dominated"
        return CostEffectiveness(extra, None, None, None, verdict)
    ends = sorted((extra / -low, extra / -high))
    return CostEffectiveness(
        extra_per_request=extra,
        per_avoided=extra / -difference.difference,
        per_avoided_low=ends[0],
        per_avoided_high=ends[1],
        verdict="trade_off" if extra > 0 else "dominates",
    )


@command
def main() -> None:
    """Write cost_effectiveness.json from significance.json and what the arms used."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--significance", type=Path, required=True, help="significance.json")
    parser.add_argument("--local-costs", type=Path, required=True, help="local_costs.json")
    parser.add_argument("--costs", type=Path, required=True, help="costs.json")
    parser.add_argument("--output", type=Path, required=True, help="cost_effectiveness.json")
    add_seal_argument(parser)
    arguments = parser.parse_args()

    read = [arguments.significance, arguments.local_costs, arguments.costs]
    seal = SealWriter(arguments.seal, read)
    significance = read_settings(arguments.significance, Significance)
    money = read_settings(arguments.costs, Money).by_condition
    arms = {
        condition: arm.model_copy(update={"cost_usd": money.get(condition, ArmMoney()).cost_usd})
        for condition, arm in read_settings(arguments.local_costs, Costs).by_condition.items()
    }
    by_treatment = {}
    for treatment, difference in significance.false_answers.items():
        for condition in (significance.control, treatment):
            if condition not in arms:
                raise UserError(f"{arguments.local_costs}: there are no costs of {condition!r}")
        resources = {}
        for resource in RESOURCES:
            before = arms[significance.control].per_request(resource)
            after = arms[treatment].per_request(resource)
            resources[resource] = (
                None
                if before is None or after is None
                else asdict(cost_effectiveness(after - before, difference))
            )
        by_treatment[treatment] = {
            "false_answers": difference.model_dump(mode="json"),
            "resources": resources,
        }
    write_json(
        arguments.output,
        {
            "schema_version": SCHEMA_VERSION,
            "control": significance.control,
            "by_treatment": by_treatment,
        },
    )
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
