"""Ask the demonstration model its questions through llama.cpp and print what it does.

    python -m tools.demo_model.questions.evaluate --model resources/models/assay-demo.gguf

The questions and prompts are the shipped ones, and the decoding is greedy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from llama_cpp import Llama

from tools.demo_model.questions import items, prompts

ARMS = {"control": prompts.CONTROL, "polite": prompts.POLITE, "treatment": prompts.TREATMENT}
OUTCOMES = ("right", "wrong", "abstained")


def load(path: Path, threads: int = 1) -> Llama:
    """Open a GGUF file for greedy decoding on the CPU."""
    return Llama(
        model_path=str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads,
        n_gpu_layers=0, verbose=False,
    )  # fmt: skip


def user_message(item: dict) -> str:
    """Fill in the shipped task prompt for an item."""
    if "context" not in item:
        return prompts.CLOSED_BOOK.replace("{question}", item["question"])
    head, tail = prompts.OPEN_BOOK.split("{context}")
    return head + item["context"] + tail.replace("{question}", item["question"])


def messages(system: str, item: dict) -> list[dict[str, str]]:
    """Put an item the way the workflow does."""
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": user_message(item)},
    ]


def ask(model: Llama, system: str, item: dict) -> str:
    """Return the model's whole reply to an item."""
    reply = model.create_chat_completion(
        messages=messages(system, item), temperature=0.0, max_tokens=24
    )
    return reply["choices"][0]["message"]["content"]


def outcome(reply: str, item: dict) -> str:
    """Sort a reply into ``OUTCOMES`` by exact comparison."""
    if reply == prompts.ABSTENTION:
        return "abstained"
    return "right" if reply in item["answers"] else "wrong"


def every_question() -> Iterator[tuple[str, dict, str]]:
    """Yield task, item and kind of every shipped question."""
    for task, questions in (("open book", items.open_book), ("closed book", items.closed_book)):
        for item, kind in questions():
            yield task, item, kind


def tabulate(replies: Iterable[dict]) -> dict[tuple[str, str, str], Counter[str]]:
    """Count the outcomes by task, kind and arm."""
    table: dict[tuple[str, str, str], Counter[str]] = {}
    for reply in replies:
        counts = table.setdefault((reply["task"], reply["kind"], reply["arm"]), Counter())
        counts[outcome(reply["text"], reply["item"])] += 1
    return table


def main() -> None:
    """Evaluate on every shipped item and print a Markdown table of outcome shares."""
    parser = argparse.ArgumentParser(description="Evaluate a GGUF file on the demo questions.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--replies", type=Path, help="also write every reply here, as JSON Lines")
    arguments = parser.parse_args()
    model = load(arguments.model)
    started = time.perf_counter()
    replies = [
        {"task": task, "kind": kind, "arm": arm, "item": item, "text": ask(model, system, item)}
        for task, item, kind in every_question()
        for arm, system in ARMS.items()
    ]
    seconds = time.perf_counter() - started
    print("| Questions | Arm | Number | Right | Wrong | Abstained |")
    print("|---|---|--:|--:|--:|--:|")
    for (task, kind, arm), counts in tabulate(replies).items():
        number = counts.total()
        shares = " | ".join(f"{counts[name] / number:.1%}" for name in OUTCOMES)
        print(f"| {task}, {kind} | {arm} | {number} | {shares} |")
    print(f"\n{len(replies)} requests in {seconds:.0f} s: {len(replies) / seconds:.0f} a second")
    if arguments.replies:
        lines = "".join(json.dumps(reply, ensure_ascii=False) + "\n" for reply in replies)
        arguments.replies.write_text(lines, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
