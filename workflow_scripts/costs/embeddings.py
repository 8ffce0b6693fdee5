"""What embedders that cost something are still to embed, before they do: embeddings.json.

    python -m workflow_scripts.costs.embeddings --settings plan.json --kept results/embeddings \
        --output embeddings.json

Nothing is embedded.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..backends.tokens import BytesCounter
from ..core.errors import command
from ..core.files import read_jsonl, read_settings, write_record
from ..core.records import Request
from ..requests.parts import parts
from ..retrieval.embedders.settings import LearnedFields
from ..retrieval.missing import missing_texts
from ..retrieval.records import Chunk, Passage
from ..retrieval.spending import most_tokens
from ..tasks.registry import TASKS
from .plan_settings import PlannedEmbedder, PlannedSearch, PlanSettings
from .records import EmbedderPlan, EmbeddingsPlan


def plan_embeddings(settings: PlanSettings, kept: Path) -> EmbeddingsPlan:
    """Return the whole of embeddings.json.

    Args:
        settings: of the plan.
        kept: the folder in which vectors are kept.
    """
    return EmbeddingsPlan(embedders=[_of_embedder(each, kept) for each in settings.embedders])


def _of_embedder(planned: PlannedEmbedder, kept: Path) -> EmbedderPlan:
    own = planned.settings
    assert isinstance(own, LearnedFields)  # noqa: S101 - others cost nothing
    chunks = (chunk for path in planned.chunks for chunk in read_jsonl(Path(path), Chunk))
    questions = [
        TASKS[task].search_text(question)
        for task, path in planned.questions
        for question in read_jsonl(Path(path), TASKS[task].question)
    ]
    missing = missing_texts(own, kept, chunks, questions)
    texts = [*missing.chunks, *missing.questions]
    count = BytesCounter().text
    tokens = sum(map(count, texts))
    quote = planned.quote
    return EmbedderPlan(
        embedder=planned.embedder,
        model=planned.model,
        price=quote,
        notes=[note for note in (missing.note, planned.note) if note is not None],
        texts=len(texts) + (missing.kept or 0),
        kept=missing.kept,
        chunks=len(missing.chunks),
        questions=len(missing.questions),
        tokens=tokens,
        cost_usd=None if quote is None else quote.usd(tokens, 0, batch=False),
        at_most_usd=None if quote is None else quote.usd(most_tokens(texts), 0, batch=False),
    )


def estimated_requests(search: PlannedSearch) -> Iterator[tuple[Path, list[Request]]]:
    """Yield parts of requests as they may be, before their passages are found.

    Each question gets the same passages, taken at equal distances from all chunks.
    """
    task = TASKS[search.build.task]
    passages = list(_some_passages(search))
    questions = [
        task.with_passages(question, passages)
        for question in read_jsonl(Path(search.questions), task.question)
    ]
    made = parts(questions, search.prompt, Path(search.system), search.build)
    for path, requests in zip(search.parts, made, strict=True):
        yield Path(path), list(requests)


def _some_passages(search: PlannedSearch) -> Iterator[Passage]:
    chunks = list(read_jsonl(Path(search.chunks), Chunk))
    n = min(search.search.top_k, len(chunks))
    used = 0
    for rank in range(1, n + 1):
        chunk = chunks[(2 * rank - 1) * len(chunks) // (2 * n)]
        used += chunk.tokens
        if search.search.max_tokens is not None and used > search.search.max_tokens:
            return
        yield Passage(**chunk.model_dump(exclude={"start", "end"}), rank=rank)


@command
def main() -> None:
    """Write what is still to be embedded."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: PlanSettings")
    parser.add_argument("--kept", type=Path, required=True, help="where vectors are kept")
    parser.add_argument("--output", type=Path, required=True, help="embeddings.json")
    args = parser.parse_args()
    settings = read_settings(args.settings, PlanSettings)
    write_record(args.output, plan_embeddings(settings, args.kept))


if __name__ == "__main__":
    main()
