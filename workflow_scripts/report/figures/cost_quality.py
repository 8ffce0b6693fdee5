"""Cost against quality: what each arm uses, and how good its answers are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.metric import Metric
from ...core.records import ItemScores
from ...costs.records import Costs, LocalCosts
from .figure import Figure
from .vega import CARD, MUTED, WIDTH, Spec, draw, metric_title, number, series

_HEIGHT = 130


@dataclass(frozen=True)
class Use:
    """What a request of each arm uses on average of the first resource that is known and not 0."""

    column: str
    axis: str
    sentence: str
    by_arm: dict[str, float]


def cost_quality_figure(
    metrics: Sequence[Metric],
    names: Mapping[str, str],
    control: str,
    scores: Iterable[ItemScores],
    local_costs: LocalCosts,
    costs: Costs,
) -> Figure:
    """Draw the quality of each arm against what a request of it uses.

    Args:
        metrics: shares that say how good an arm is.
        names: the arms' names by condition.
        control: the condition that the others are compared with.
        scores: per_item_scores.csv.
        local_costs, costs: tokens and times; money.
    """
    title = "Cost against quality"
    quality = means(scores, [each.name for each in metrics])
    use = resource(list(names), local_costs, costs)
    if use is None:
        return Figure(
            "cost-quality", title, absent="Neither money, nor tokens, nor time is known of any arm."
        )
    known = [control, *(arm for arm in names if arm != control)]
    arms = [arm for arm in known if arm in quality and arm in use.by_arm]
    shown = [each for each in metrics if all(each.name in quality[arm] for arm in arms)]
    if not arms or not shown:
        return Figure("cost-quality", title, absent="No arm has both scores and costs.")
    return Figure(
        name="cost-quality",
        title=title,
        how_to_read=(
            f"Each mark is an arm over all its tasks and temperatures. Left is cheaper; lines go "
            f"from the control to the treatments. {use.sentence}"
        ),
        svg=draw(
            {
                "vconcat": [
                    _panel(each, arms, names, control, quality, use, is_last=each == shown[-1])
                    for each in shown
                ]
            },
            title,
        ),
        columns=("arm", use.column, *(each.name for each in shown)),
        rows=[[arm, use.by_arm[arm], *(quality[arm][each.name] for each in shown)] for arm in arms],
    )


def means(scores: Iterable[ItemScores], metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean of the metrics over the rows of each condition that have them; none without a row."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for each in scores:
        for metric in metrics:
            if (value := each.score(metric)) is not None:
                total = sums[each.condition][metric]
                total[0] += value
                total[1] += 1
    return {
        arm: {metric: total / n for metric, (total, n) in of_arm.items()}
        for arm, of_arm in sums.items()
    }


def resource(arms: list[str], local_costs: LocalCosts, costs: Costs) -> Use | None:
    """Money where it is known and paid, else tokens, else time."""
    requests = {arm: local_costs.of(arm).requests for arm in arms}
    money = {
        arm: 1000 * cost / requests[arm]
        for arm in arms
        if (cost := costs.of(arm).cost_usd) is not None and requests[arm]
    }
    if any(money.values()):
        sentence = "Cost is the price of the answers (see “How it was done”)."
        return Use("usd_per_1000_requests", "US$ per 1,000 requests", sentence, money)
    why = "costs nothing" if money else "has no known price"
    tokens = {
        arm: used for arm in arms if (used := local_costs.of(arm).tokens_per_request) is not None
    }
    if any(tokens.values()):
        sentence = f"The model {why}, so tokens (prompt and answer) are shown instead."
        return Use("tokens_per_request", "Tokens per request", sentence, tokens)
    times = {arm: time.mean for arm in arms if (time := local_costs.of(arm).latency_s) is not None}
    if any(times.values()):
        sentence = f"The model {why} and counts no tokens, so time is shown instead."
        return Use("mean_latency_s", "Mean latency, seconds", sentence, times)
    return None


def _panel(
    metric: Metric,
    arms: list[str],
    names: Mapping[str, str],
    control: str,
    quality: Mapping[str, Mapping[str, float]],
    use: Use,
    *,
    is_last: bool,
) -> Spec:
    least, most = (end(use.by_arm[arm] for arm in arms) for end in (min, max))
    margin = 0.08 * (most - least) or 0.1 * most
    marks: list[dict[str, Any]] = [
        {
            "x": use.by_arm[arm],
            "y": 100 * quality[arm][metric.name],
            "series": names[arm],
        }
        for arm in arms
    ]
    start = next((each for each, arm in zip(marks, arms, strict=True) if arm == control), None)
    moves = [
        {**each, "x0": start["x"], "y0": start["y"]} for each in marks if start and each != start
    ]
    heights = [each["y"] for each in marks]
    room = max(2.0, 0.2 * (max(heights) - min(heights)))
    domain = [min(heights) - room, max(heights) + room]
    x_axis = {"tickCount": 5, "grid": False}
    x = number(
        "x",
        use.axis if is_last else None,
        domain=[max(0.0, least - margin), most + margin],
        zero=False,
        nice=True,
        axis=x_axis,
    )
    y = number(
        "y",
        domain=domain,
        zero=False,
        axis={"tickCount": 4, "labelExpr": "datum.value + '%'"},
    )
    styles = series([names[arm] for arm in arms])
    return {
        "width": WIDTH - 40,
        "height": _HEIGHT,
        "title": metric_title(metric),
        "layer": [
            {
                "data": {"values": moves},
                "mark": {"type": "rule", "stroke": MUTED, "strokeDash": [4, 3]},
                "encoding": {
                    "x": {**x, "field": "x0"},
                    "y": {**y, "field": "y0"},
                    "x2": {"field": "x"},
                    "y2": {"field": "y"},
                },
            },
            {
                "data": {"values": marks},
                "mark": {
                    "type": "point",
                    "size": 110,
                    "strokeWidth": 2,
                    "opacity": 1,
                    "fill": CARD,
                },
                "encoding": {
                    "x": x,
                    "y": y,
                    "shape": styles["shape"],
                    "stroke": styles["stroke"],
                },
            },
        ],
    }
