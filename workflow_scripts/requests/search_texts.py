"""Read the search texts that a model made of a task's questions: search_texts/{task}.jsonl."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.errors import UserError, command
from ..core.files import read_jsonl, write_jsonl
from ..core.logs import log_to
from ..core.records import RawLine
from ..core.seals import SealWriter, seal_beside
from ..metrics.final_answer import without_reasoning
from ..retrieval.records import SearchText

LOG = logging.getLogger(__name__)


def search_texts(lines: Iterable[RawLine], path: Path) -> Iterator[SearchText]:
    """Yield the search text of each reply, without reasoning, on one line.

    A reply that is refused, cut off at the token limit or empty is not used.

    Args:
        lines: of the raw part.
        path: the raw part, for messages.

    Raises:
        UserError: a request has no answer, or an answer was edited.
    """
    for line in lines:
        if line.error is not None:
            raise UserError(
                f"{path}: question {line.item_key!r} was not rewritten ({line.error.type}: "
                f"{line.error.message}). Fix the cause and run again; only requests without an "
                "answer are sent"
            )
        answer = line.completion()
        if line.answer_checksum != answer.checksum(str(line.request_digest)):
            raise UserError(
                f"{path}: the reply about {line.item_key!r} does not have its checksum; the file "
                "was edited. Delete it and run again: the reply is taken from the journal"
            )
        text = " ".join(without_reasoning(answer.response_text).split())
        reason = None
        if answer.finish_reason.startswith("refused"):
            reason = "the model refused"
        elif answer.finish_reason == "length":
            reason = "the reply was cut off at the token limit"
        elif not text:
            reason = "the reply is empty"
        yield SearchText(
            dataset=line.dataset,
            item_id=line.item_id,
            text="" if reason else text,
            not_used=reason,
        )


@command
def main() -> None:
    """Write the search texts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="the raw part")
    parser.add_argument("--output", type=Path, required=True, help="JSON Lines of search texts")
    args = parser.parse_args()

    log_to(None)
    seal = SealWriter(seal_beside(args.output, args.output.stem), [args.raw])
    found = list(search_texts(read_jsonl(args.raw, RawLine), args.raw))
    unused = sum(each.not_used is not None for each in found)
    LOG.info("%d search texts; %d replies are not used", len(found) - unused, unused)
    write_jsonl(args.output, found)
    seal.seal(args.output)


if __name__ == "__main__":
    main()
