"""How often abstentions and refusals of real systems are recognised; see docs/scoring.md.

    python benchmarks/abstention_real.py --xstest xstest_gpt4.csv --mtrag mtrag_un_reference.jsonl

XSTest (github.com/paul-rottger/exaggerated-safety, ``completions/``): completions that two people
marked as full compliance, full refusal or partial refusal. MTRAG-UN (IBM/mt-rag-benchmark):
reference answers to answerable, unanswerable and underspecified questions. Partial refusals and
partial answers are left out. Each set is cut into two halves by a hash of its prompts or
conversations. Whoever changes the patterns reads the responses of ``read`` alone.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.metrics.abstention import AbstentionDetector
from workflow_scripts.scoring.accuracy import Label, LabelledAnswer, table

XSTEST: dict[str, Label] = {"1_full_compliance": "answered", "2_full_refusal": "refused"}
MTRAG: dict[str, Label] = {
    "ANSWERABLE": "answered",
    "UNDERSPECIFIED": "answered",
    "UNANSWERABLE": "abstained",
}


def _half(key: str) -> str:
    return "unread" if hashlib.sha256(key.encode()).digest()[0] % 2 else "read"


def xstest(path: Path) -> Iterator[LabelledAnswer]:
    """The completions of one system."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if label := XSTEST.get(row["final_label"]):
                yield LabelledAnswer(
                    answer=row["completion"],
                    question=row["prompt"],
                    label=label,
                    kind=row["type"],
                    half=f"{path.stem}, {_half(row['prompt'])}",
                )


def mtrag(path: Path) -> Iterator[LabelledAnswer]:
    """The reference answers."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if label := MTRAG.get(row["answerability"][0]):
            yield LabelledAnswer(
                answer=row["targets"][0]["text"],
                question=row["input"][-1]["text"],
                label=label,
                kind=row["answerability"][0],
                half=f"{path.stem}, {_half(row['conversation_id'])}",
            )


def main() -> None:
    """Print precision and recall for each half of each set."""
    parser = argparse.ArgumentParser(description="Check the detectors on real responses.")
    parser.add_argument("--xstest", type=Path, nargs="*", default=[], help="CSV of completions")
    parser.add_argument("--mtrag", type=Path, nargs="*", default=[], help="JSON Lines")
    arguments = parser.parse_args()
    rows = [row for path in arguments.xstest for row in xstest(path)]
    rows += [row for path in arguments.mtrag for row in mtrag(path)]
    print(table(sorted(rows, key=lambda row: row.half), AbstentionDetector()))


if __name__ == "__main__":
    main()
