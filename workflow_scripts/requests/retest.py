"""Draw some requests of a prompt and task that are to be sent a second time."""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import command
from ..core.files import read_jsonl, write_jsonl
from ..core.records import Request
from ..core.seals import SealWriter, seal_beside


def drawn(parts: Sequence[Path], share: float, seed: int) -> Iterator[Request]:
    """Yield a random share of the requests, at least one, in their order.

    Names and seed alone decide, so all models are sent the same requests again.
    """
    ranks = sorted(_rank(request, seed) for request in _requests(parts))
    last = ranks[: math.ceil(share * len(ranks))][-1:]
    for request in _requests(parts):
        if [_rank(request, seed)] <= last:
            yield request.model_copy(update={"retest": True})


def _requests(parts: Sequence[Path]) -> Iterator[Request]:
    for path in parts:
        yield from read_jsonl(path, Request)


def _rank(request: Request, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|retest|{request.custom_id}".encode()).digest()


@command
def main() -> None:
    """Write the requests that are to be sent a second time, as one batch-input part."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--requests", type=Path, nargs="+", required=True, help="the parts")
    parser.add_argument(
        "--planned",
        type=Path,
        nargs="*",
        default=[],
        help="the part that the plan counts in the place of this; only its content is sealed",
    )
    parser.add_argument("--share", type=float, required=True, help="of the requests, 0 to 1")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    output: Path = args.output
    seal = SealWriter(seal_beside(output, output.stem), [*args.requests, *args.planned])
    write_jsonl(output, drawn(args.requests, args.share, args.seed))
    seal.seal(output)


if __name__ == "__main__":
    main()
