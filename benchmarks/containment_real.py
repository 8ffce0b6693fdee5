"""How often containment agrees with people about answers of real systems; see docs/scoring.md.

    python benchmarks/containment_real.py FOLDER

The folder has files of Kamalloo et al. (2023), github.com/ehsk/OpenQA-eval: the answers
of many systems to 301 questions of NQ-open with people's verdicts (``NQ301_human.tsv``) and with
the gold answers (``NQ301_BEM.tsv``), and what InstructGPT answered
(``NQ301_text-davinci-003_zeroshot.jsonl``, ``…_fewshot-n64.jsonl``). People's verdict on an answer
of InstructGPT is that on the same answer after SQuAD 2.0's normalisation, and "correct" where it
matches a gold answer exactly. An answer that is a list is correct if one of its entries is.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy import stats

from workflow_scripts.metrics.containment import contains
from workflow_scripts.metrics.text import EVALUATIONS, USUAL_EVALUATION, exact_match

SQUAD = EVALUATIONS[USUAL_EVALUATION]
RUNS = ("zeroshot", "fewshot-n64")
Rule = Callable[[str, Sequence[str]], bool]
"""Whether an answer is correct, given the gold answers."""


class Judged(NamedTuple):
    """An answer with its gold answers, and whether people accepted it."""

    question: str
    answer: str
    golds: list[str]
    accepted: bool


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a file with tabs between its columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def judged_in(folder: Path) -> Iterator[Judged]:
    """The answers that people judged."""
    golds = {
        row["Question"]: row["Gold answers"].split(" | ")
        for row in rows_of(folder / "NQ301_BEM.tsv")
    }
    for row in rows_of(folder / "NQ301_human.tsv"):
        question = row["Question"]
        yield Judged(question, row["Model answer"], golds[question], row["Acceptable?"] == "Yes")


def matches(answer: str, golds: Sequence[str]) -> bool:
    """Exact match by SQuAD 2.0's evaluation."""
    return exact_match(SQUAD.normalise(answer), SQUAD.golds(golds)) == 1


def contains_plainly(answer: str, golds: Sequence[str]) -> bool:
    """Containment after SQuAD 2.0's normalisation, without any further rules."""
    text = f" {SQUAD.normalise(answer)} "
    return any(f" {gold} " in text for gold in SQUAD.golds(golds))


RULES: dict[str, Rule] = {
    "exact match": matches,
    "plain containment": contains_plainly,
    "`contains`": contains,
}


def share(hits: int, total: int) -> str:
    """A share with its exact interval (Clopper & Pearson 1934)."""
    low, high = stats.binomtest(hits, total).proportion_ci(0.95, method="exact")
    return f"{hits:,} of {total:,}: {hits / total:.3f} ({low:.3f} to {high:.3f})"


def agreement(judged: Sequence[Judged], rule: Rule) -> Iterator[str]:
    """How often a rule agrees with people; its precision and recall of what they accept."""
    pairs = [(rule(each.answer, each.golds), each.accepted) for each in judged]
    both = sum(found and accepted for found, accepted in pairs)
    found, accepted = (sum(column) for column in zip(*pairs, strict=True))
    yield share(sum(one == other for one, other in pairs), len(pairs))
    yield share(both, found) if found else "–"
    yield share(both, accepted)


def answers_in(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Question, answers (mostly one) and gold answers of each line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        given = row["prediction"]
        yield row["question"], [given] if isinstance(given, str) else given, row["answer"]


def main() -> None:
    """Print the tables of docs/scoring.md."""
    parser = argparse.ArgumentParser(description="Check containment on judged answers.")
    parser.add_argument("folder", type=Path, help="the files of OpenQA-eval")
    folder = parser.parse_args().folder
    judged = list(judged_in(folder))
    others = [each for each in judged if not matches(each.answer, each.golds)]
    print("| answers | rule | agreement | precision | recall |\n|---|---|---|---|---|")
    for name, rule in RULES.items():
        print(f"| all | {name} | {' | '.join(agreement(judged, rule))} |")
    for name, rule in RULES.items():
        print(f"| no exact match | {name} | {' | '.join(agreement(others, rule))} |")

    accepted = {(each.question, SQUAD.normalise(each.answer)): each.accepted for each in judged}
    print("\n| correct by | zero-shot | few-shot |\n|---|---|---|")
    shares: dict[str, list[str]] = {}
    for file in RUNS:
        rows = list(answers_in(folder / f"NQ301_text-davinci-003_{file}.jsonl"))
        for name, rule in RULES.items():
            hits = sum(any(rule(answer, golds) for answer in given) for _, given, golds in rows)
            shares.setdefault(name, []).append(share(hits, len(rows)))
        hits = sum(
            any(
                matches(answer, golds) or accepted.get((question, SQUAD.normalise(answer)), False)
                for answer in given
            )
            for question, given, golds in rows
        )
        shares.setdefault("people", []).append(share(hits, len(rows)))
    for name, row in shares.items():
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
