"""Write the held-out records of the demonstration.

    python -m tools.demo_model.structured.items --out-dir resources/demo

Each item is a passage about a subject that the model never met, and a schema of three to six
fields.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tools.demo_model.questions.items import to_jsonl
from tools.demo_model.questions.language import seeded
from tools.demo_model.structured import prompts, records

NAME = "structured.jsonl"
SEED = 7
ITEMS = 240
HABITS = 0.1  # the share of facts, and of requests, that invite a bad habit
UNSTATED_SHARE = 0.06
RESTATED_SHARE = 0.25
OTHER_SHARE = 0.4
LIST_MOVED_SHARE = 0.6  # of the lists at the end of an object, where they invite a habit


def items() -> Iterator[dict]:
    """Yield every item; no two have the same subject."""
    rng = seeded(f"assay-structured-{SEED}")
    met: set[str] = set()
    while len(met) < ITEMS:
        passage = records.draw_passage(
            rng,
            "test",
            facts=rng.randint(4, 5),
            others=rng.randint(1, 3) if rng.random() < OTHER_SHARE else 0,
            habits=HABITS,
        )
        subject = passage.subjects[0]
        if subject.name in met:
            continue
        met.add(subject.name)
        parts = records.draw_parts(
            rng,
            subject,
            fields=rng.randint(2, 5),
            unstated=rng.random() < UNSTATED_SHARE,
            restated=RESTATED_SHARE,
        )
        if parts[-1].is_list and rng.random() < LIST_MOVED_SHARE:
            parts.insert(1, parts.pop())
        polite = rng.random() < HABITS
        form = rng.choice(prompts.POLITE_QUESTIONS if polite else prompts.PLAIN)
        yield {
            "id": f"record-{len(met):03d}",
            "dataset": "demo_records",
            "question": form.format(s=subject.mention),
            "context": passage.text,
            "schema": records.schema_of(parts),
            "expected": records.expected_of(parts),
            "rules": {f"/{part.key}": "set" for part in parts if part.is_list},
        }


def main() -> None:
    """Write the file into ``--out-dir``."""
    parser = argparse.ArgumentParser(description="Write the records of the demonstration.")
    parser.add_argument("--out-dir", type=Path, required=True)
    path = parser.parse_args().out_dir / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    made = list(items())
    path.write_text(to_jsonl(made), encoding="utf-8", newline="\n")
    print(f"{path}: {len(made)} records")


if __name__ == "__main__":
    main()
