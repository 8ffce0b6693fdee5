"""How fast scoring is, beside a plain transcription of SQuAD 2.0's official evaluation.

Run it from the repository's root: ``python benchmarks/score_speed.py``. It makes up 20,000 items
on 2,000 passages with answers of two arms, and prints the seconds of the whole command, from files
to files, and of the sweep of the unsupported threshold. Then it times EM and F1 alone against the
transcription, which normalises every gold answer for every prediction.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.core.records import Answer, ErrorRow, Prediction, custom_id
from workflow_scripts.metrics.text import EVALUATIONS, exact_match
from workflow_scripts.tasks.question_answering import AnsweredQuestion as Item

ARMS = ("control", "treatment")
ABSTENTIONS = (
    "I don't know.",
    "The passage does not say.",
    "Unanswerable",
    "The passage describes the siege, but it does not mention who led it.",
)
_WORDS = """
    river city king treaty mountain empire school team album battle north war church bridge music
    dance water stone 1904 1876 Paris Lyon
"""
WORDS = _WORDS.split()


def made_up(n_items: int) -> tuple[list[Item], list[Prediction]]:
    """Items, a third of them unanswerable, and chat answers of two arms."""
    draw = random.Random(1)

    def sentence(length: int) -> str:
        return " ".join(draw.choices(WORDS, k=length)).capitalize() + "."

    passages = [" ".join(sentence(12) for _ in range(10)) for _ in range(max(1, n_items // 10))]
    items, predictions = [], []
    for number in range(n_items):
        passage = passages[number * len(passages) // n_items]
        start = draw.randrange(100)
        answer = " ".join(passage.split()[start : start + 2])
        unanswerable = number % 3 == 0
        items.append(
            Item(
                id=str(number),
                dataset="made_up",
                question=f"Which one is number {number}?",
                answers=[] if unanswerable else [answer, f"the {answer}", f"{answer} city"],
                context=passage,
                is_unanswerable=unanswerable,
                cluster_id=str(number // 10),
            )
        )
        for condition in ARMS:
            text = draw.choice(
                [
                    answer,
                    f"The answer is {answer}.",
                    f"Based on the passage, it was {answer}. {sentence(15)}",
                    draw.choice(ABSTENTIONS),
                    sentence(3),
                ]
            )
            predictions.append(
                Prediction(
                    custom_id=custom_id("made_up", str(number), condition, "0.0", 0, "open_book"),
                    dataset="made_up",
                    item_id=str(number),
                    condition=condition,
                    temp="0.0",
                    sample_index=0,
                    type="open_book",
                    request_id=str(number),
                    finish_reason="stop",
                    response_text=text,
                )
            )
    return items, predictions


def commands(folder: Path, items: list[Item], predictions: list[Prediction]) -> list[list[str]]:
    """Write the files of a trial; the two commands that score it."""
    write_jsonl(folder / "open_book.jsonl", items)
    write_csv(folder / "predictions.csv", Prediction, predictions)
    write_csv(folder / "errors.csv", ErrorRow, [])
    asked = (Answer(**row.model_dump(), prompt=row.condition) for row in predictions)
    write_csv(folder / "answers.csv", Answer, asked)
    rule = {"strategy": "overlap"}
    write_json(folder / "score.json", {"unsupported": rule, "abstention_phrases": []})
    write_json(folder / "sweep.json", {"unsupported": rule, "confidence": 0.95})
    return [
        [
            "workflow_scripts.scoring.items",
            *("--predictions", str(folder / "predictions.csv")),
            *("--errors", str(folder / "errors.csv")),
            *("--answers", str(folder / "answers.csv")),
            *("--items", str(folder / "open_book.jsonl")),
            *("--settings", str(folder / "score.json")),
            *("--output", str(folder / "per_item_scores.csv")),
            *("--outcomes", str(folder / "outcomes.csv")),
            *("--metrics", str(folder / "metrics.json")),
        ],
        [
            "workflow_scripts.scoring.sensitivity",
            *("--outcomes", str(folder / "outcomes.csv")),
            *("--items", str(folder / "open_book.jsonl")),
            *("--settings", str(folder / "sweep.json")),
            *("--output", str(folder / "unsupported_sensitivity.json")),
        ],
    ]


def plain_squad(prediction: str, answers: Sequence[str]) -> tuple[float, float]:
    """EM and F1 as a plain transcription of the official definition computes them."""

    def normalised(text: str) -> str:
        punctuation = set(string.punctuation)
        kept = "".join(each for each in text.lower() if each not in punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())

    def f1(gold: str) -> float:
        left, right = normalised(gold).split(), normalised(prediction).split()
        if not left or not right:
            return float(left == right)
        same = sum((collections.Counter(left) & collections.Counter(right)).values())
        if same == 0:
            return 0.0
        precision, recall = same / len(right), same / len(left)
        return 2 * precision * recall / (precision + recall)

    golds = [answer for answer in answers if normalised(answer)] or [""]
    em = max(float(normalised(gold) == normalised(prediction)) for gold in golds)
    return em, max(map(f1, golds))


def timed(function: Callable[[], object]) -> float:
    """Wall time of one call in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor_seconds() -> float:
    """Processor time of finished child processes so far; always 0 on Windows."""
    spent = os.times()
    return spent.children_user + spent.children_system


def peak_megabytes() -> float:
    """The most memory that a finished child process had; 0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    arguments = parser.parse_args()
    items, predictions = made_up(arguments.items)

    with tempfile.TemporaryDirectory() as folder:
        for command in commands(Path(folder), items, predictions):
            before = processor_seconds()
            taken = timed(
                lambda command=command: subprocess.run([sys.executable, "-m", *command], check=True)
            )
            print(
                f"{command[0]}, {len(predictions):,} predictions: {taken:.1f} s "
                f"({processor_seconds() - before:.1f} s of processor time, "
                f"at most {peak_megabytes():.0f} MB so far)"
            )
        written = json.loads((Path(folder) / "unsupported_sensitivity.json").read_text("utf-8"))
        (swept,) = written["results"]["treatment"]["0.0"].values()
        print(f"  ({swept['n_items']:,} items at {len(swept['thresholds'])} thresholds)")

    answers = {item.id: item.answers for item in items}
    squad = EVALUATIONS["squad_v2"]

    def plain() -> list[tuple[float, float]]:
        return [plain_squad(each.response_text, answers[each.item_id]) for each in predictions]

    def ours() -> list[tuple[float, float]]:
        golds = {item_id: squad.golds(given) for item_id, given in answers.items()}
        texts = [(squad.normalise(each.response_text), golds[each.item_id]) for each in predictions]
        return [(exact_match(text, gold), squad.f1(text, gold)) for text, gold in texts]

    if plain() != ours():
        sys.exit("the transcription and Assay disagree")
    own, other = timed(ours), timed(plain)
    print(f"EM and F1 alone: Assay {own:.2f} s, plain transcription {other:.2f} s: ", end="")
    print(f"{other / own:.1f} times as long")


if __name__ == "__main__":
    main()
