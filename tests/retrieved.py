"""Items of the task `rag` with what was found for them, for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import SEPARATOR
from workflow_scripts.retrieval.records import Passage, Retrieval
from workflow_scripts.tasks.rag import RAG, RagItem, RagOptions

SEARCH = {"corpus": "notes", "chunking": "lines", "embedder": "bm25", "top_k": 3}

OPTIONS: Mapping[str, dict[str, Any]] = {
    "control": {"rag": {"retrieval": SEARCH}},
    "treatment": {
        "rag": {"retrieval": {**SEARCH, "top_k": 10, "order": "best_last"}, "query": "rewrite"}
    },
    "closed": {},
}
"""What the arms of a trial search, by condition."""


def make_items(n: int, injected: Sequence[str]) -> list[RagItem]:
    """``n`` items, every fourth unanswerable; the first ones carry the injected texts."""
    items = []
    for number in range(n):
        text = injected[number] if number < len(injected) else ""
        unanswerable = number % 4 == 3
        items.append(
            RagItem(
                id=f"rag-{number}{text.replace(SEPARATOR, '')}",
                dataset="demo",
                cluster_id=f"{number}",
                question=f"Where does person {number} live? {text}",
                answers=[] if unanswerable else ["Lyon"],
                relevant=[] if unanswerable else [f"people/{number} a.md:L1-L3"],
                is_unanswerable=unanswerable,
            )
        )
    return items


def found(
    item: RagItem, number: int, condition: str, injected: Sequence[str]
) -> tuple[Passage, ...]:
    """What an arm found for an item: in every fifth nothing of use, in every sixth too much."""
    retrieval = RAG.search(RagOptions.model_validate(OPTIONS.get(condition, {}).get("rag", {})))
    if retrieval is None or retrieval == "relevant":
        return ()
    text = injected[number] if number < len(injected) else ""
    others = [f"people/{number + place} b{text}.md" for place in range(1, min(retrieval.top_k, 4))]
    paths = [*others[:1], f"people/{number} a.md", *others[1:]]
    paths = paths if number % 5 or condition == "treatment" else others
    texts = (f"Person {number} lives in Lyon. {text}", f"A person paints boats. {text}")
    return tuple(
        Passage(
            id=f"{path}:0-{rank}", path=path, first_line=1, last_line=rank, rank=rank,
            score=1 / rank, tokens=9, text=texts["b" in path.split()[1]],
            given=rank < (2 if number % 6 == 0 else 4),
        )
        for rank, path in enumerate(paths, start=1)
    )  # fmt: skip


def searched(
    item: RagItem, number: int, condition: str, injected: Sequence[str]
) -> dict[str, str | None]:
    """What an arm searched for: in the treatment a model's text, but for every seventh item."""
    if condition != "treatment" or number % 7 == 0:
        reason = "the reply is empty" if condition == "treatment" else None
        return {"query": item.question, "not_rewritten": reason}
    text = injected[number] if number < len(injected) else ""
    return {"query": f"home of person {number} {text}", "not_rewritten": None}


def write_retrieved(
    folder: Path, items: Sequence[RagItem], conditions: Sequence[str], injected: Sequence[str]
) -> dict[tuple[str, str], Retrieval]:
    """Write what the arms found as files beside a trial's; return it as the scorer takes it."""
    retrieved = {
        (condition, item.key): Retrieval(
            dataset=item.dataset, item_id=item.id, passages=passages,
            **searched(item, number, condition, injected),
        )
        for condition in conditions
        for number, item in enumerate(items)
        if (passages := found(item, number, condition, injected))
    }  # fmt: skip
    for condition in conditions:
        rows = [each for (of, _), each in retrieved.items() if of == condition]
        if rows:
            write_jsonl(folder / f"retrieved.{condition}.jsonl", rows)
    return retrieved


def arguments(folder: Path) -> list[str]:
    """What the commands are told of it."""
    files = sorted(folder.glob("retrieved.*.jsonl"))
    named = [f"{path.name.split('.')[1]}={path}" for path in files]
    return ["--retrieved", *named] if named else []
