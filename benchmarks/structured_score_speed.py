"""How fast structured outputs are validated and scored, on one core.

Run it from the repository's root: ``python benchmarks/structured_score_speed.py``. It makes up
100,000 answers to items with one schema of 12 fields (enums, formats, a list of objects), a tenth
of them wrapped, wrong or no JSON, and prints the seconds of the scorer alone.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from typing import Any

from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.tasks.registry import TASKS, options_of
from workflow_scripts.tasks.settings import ScoreSettings
from workflow_scripts.tasks.structured import StructuredItem
from workflow_scripts.tasks.task import Sample

NAME = "structured"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 80},
        "born": {"type": "string", "format": "date"},
        "mail": {"type": "string", "format": "email"},
        "city": {"enum": ["Oslo", "Bergen", "Lyon", "Turin"]},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "height_m": {"type": "number", "multipleOf": 0.01},
        "member": {"type": "boolean"},
        "orders": {
            "type": "array",
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}},
                "required": ["sku", "count"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["name", "born", "city", "age"],
    "additionalProperties": False,
}


def made_up(n_items: int, draw: random.Random) -> list[StructuredItem]:
    """Items with an expected object each."""
    return [
        StructuredItem(
            id=str(number),
            dataset="made_up",
            cluster_id=str(number),
            question="Who is it?",
            schema=SCHEMA,
            expected={
                "name": f"Ann {number}",
                "born": f"19{draw.randint(10, 99)}-0{draw.randint(1, 9)}-11",
                "mail": f"ann.{number}@example.org",
                "city": draw.choice(["Oslo", "Lyon"]),
                "code": f"AB{draw.randint(1000, 9999)}",
                "age": draw.randint(0, 99),
                "height_m": draw.randint(150, 199) / 100,
                "member": True,
                "orders": [{"sku": "a", "count": 1}, {"sku": "b", "count": draw.randint(1, 9)}],
            },
            rules={"/orders": "set", "/name": "normalised"},
        )
        for number in range(n_items)
    ]


def answer_to(item: StructuredItem, draw: random.Random) -> str:
    """An answer, sometimes with a flaw."""
    given = dict(item.expected)
    flaw = draw.random()
    if flaw < 0.03:
        given["city"] = "Rome"
    elif flaw < 0.06:
        given["age"] = "thirty"
    text = json.dumps(given)
    if 0.06 <= flaw < 0.08:
        return f"Here it is:\n```json\n{text}\n```"
    return text[:-10] if 0.08 <= flaw < 0.1 else text


def main() -> None:
    """Print seconds and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    arguments = parser.parse_args()
    draw = random.Random(1)
    items = made_up(max(1, arguments.answers // 10), draw)
    samples = []
    for number in range(arguments.answers):
        sample_index, place = divmod(number, len(items))
        item = items[place]
        prediction = Prediction(
            custom_id=custom_id(item.dataset, item.id, "control", "0.0", sample_index, NAME),
            dataset=item.dataset,
            item_id=item.id,
            condition="control",
            temp="0.0",
            sample_index=sample_index,
            type=NAME,
            request_id="",
            finish_reason="stop",
            response_text=answer_to(item, draw),
        )
        samples.append(Sample(item, prediction))
    settings = ScoreSettings.model_validate({"unsupported": {}, "abstention_phrases": []})
    scorer = TASKS[NAME].scorer(settings, options_of(NAME, {}))
    started = time.process_time()
    scores = scorer(samples)
    seconds = time.process_time() - started
    print(
        f"{len(samples):,} answers in {seconds:.1f} s: {1e6 * seconds / len(samples):.0f} µs each"
    )
    print(dict(Counter(score.outcome for score in scores)))
    for metric in TASKS[NAME].metrics:
        values = [score.metrics[metric.name] or 0 for score in scores]
        print(f"{metric.name}: {sum(values) / len(values):.4f}")


if __name__ == "__main__":
    main()
