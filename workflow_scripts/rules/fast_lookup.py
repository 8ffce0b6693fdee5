"""Faster plans: Snakemake finds the rule of a file, and what a function takes, once.

Snakemake 9.27 compares each input of each job with the outputs of all rules. `build` has an output
for each part, and several jobs read all parts, so a plan grew with the square of their number. For
each job it also looks up the signature of each input function and param.

Snakemake has no setting for this. Two private parts of version 9.27 are used, and
``tests/test_fast_lookup.py`` fails when one changes: ``OutputIndex.match_producers`` (wrapped),
which depends on the file and on the rules of the index alone, and
``snakemake.common.get_function_params`` (remembered; ``snakemake.rules`` has it too).
"""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def install() -> None:
    """Let the Snakemake of this process remember what it looked up; once is enough."""
    from snakemake import common, rules
    from snakemake.output_index import OutputIndex

    match_producers = OutputIndex.match_producers

    @functools.wraps(match_producers)
    def remembered(index: Any, file: str) -> Any:
        known = vars(index).setdefault("_producers", {})
        if file not in known:
            known[file] = match_producers(index, file)
        return known[file]

    OutputIndex.match_producers = remembered
    common.get_function_params = rules.get_function_params = functools.cache(
        common.get_function_params
    )
