"""Refuse to start what is expected to cost more than the budget."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..backends.ledger import Spent
from ..backends.prices import dollars
from ..core.errors import UserError, command
from ..core.files import read_settings, write_text
from .plan_records import Plan


def check_budget(plan: Plan) -> str:
    """See that the budget is enough for a plan.

    Returns:
        What was found, in one line.

    Raises:
        UserError: it is not; the message has the numbers.
    """
    budget, total = plan.budget, plan.total
    if budget.budget_usd is None:
        raise UserError("this plan was made without budget_usd; make it again")
    if budget.expected_usd is None or total.cost_usd is None:
        raise UserError("budget_usd is set, but a model has no price; plan.md names it")
    spent = Spent(budget.paid_usd, budget.under_way_usd, budget.lost_usd).in_words()
    expected = dollars(budget.expected_usd)
    if not budget.is_enough:
        raise UserError(
            f"budget_usd={budget.budget_usd:g} is not enough: the experiment is expected to cost "
            f"{expected} ({spent}, {dollars(total.cost_usd)} for {total.to_send:,} requests that "
            f"are to be sent; planned {plan.made_at}), so nothing is sent. Raise budget_usd, or "
            "ask less (limit_items, max_new_tokens, fewer trials, the batch API); plan.md says "
            "what costs how much. A small run first (limit_items) makes the estimate better."
        )
    return f"{expected} expected: {spent}; budget {dollars(budget.budget_usd)}\n"


@command
def main() -> None:
    """Check a plan against its budget."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json")
    parser.add_argument("--output", type=Path, required=True, help="file for what was found")
    args = parser.parse_args()
    write_text(args.output, check_budget(read_settings(args.plan, Plan)))


if __name__ == "__main__":
    main()
