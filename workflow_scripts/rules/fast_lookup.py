"""Faster plans: Snakemake finds the rule of a file once, not once for each job that reads it.

Snakemake 9.27 compares each input of each job with the outputs of all rules. `build` has an output
for each part, and several jobs read all parts, so a plan grew with the square of their number.

Snakemake has no setting for this. One private part of version 9.27 is used, and
``tests/test_fast_lookup.py`` fails when it changes: ``OutputIndex.match_producers`` (wrapped). It
depends on the file and on the rules of the index alone.
"""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def install() -> None:
    """Let the Snakemake of this process remember the rules of files; once is enough."""
    from snakemake.output_index import OutputIndex

    match_producers = OutputIndex.match_producers

    @functools.wraps(match_producers)
    def remembered(index: Any, file: str) -> Any:
        known = vars(index).setdefault("_producers", {})
        if file not in known:
            known[file] = match_producers(index, file)
        return known[file]

    OutputIndex.match_producers = remembered
