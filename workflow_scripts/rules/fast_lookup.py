"""Faster plans: Snakemake finds the rule of a file, and what a function takes, at once.

Snakemake 9.27 compares each input of each job with the outputs of all rules. `build` has an output
for each part, and several jobs read all parts, so a plan grew with the square of their number. Here
a file is compared once, with the outputs that begin and end like it. For each job Snakemake also
looks up the signature of each input function and param; here that is remembered. Python searches
the growing graph for garbage whenever 700 objects are new; a plan makes little of it. To compare a
param, Snakemake loads pandas, which takes a third of a second; no param of ours is a table.

Snakemake has no setting for this. These private parts of version 9.27 are used, and
``tests/test_fast_lookup.py`` fails when one changes: ``OutputIndex`` (replaced; made from rules, it
finds those that produce a file), ``products`` of a rule with ``constant_prefix``,
``constant_suffix`` and ``match`` of its files, ``snakemake.common.get_function_params``
(remembered; ``snakemake.rules`` has it too), and ``_serialize_param_pandas`` of
``PersistenceBase``, which becomes its ``_serialize_param_builtin``.
"""

from __future__ import annotations

import functools
import gc
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_NEW_OBJECTS = 100_000
"""How many new objects start a search for garbage."""


class OutputIndex:
    """The rules that produce a file, found by the constant beginning and end of their outputs."""

    def __init__(self, rules: Iterable[Any]) -> None:
        self._outputs: dict[tuple[str, int], dict[str, list[tuple[Any, Any]]]] = {}
        for rule in rules:
            for output in rule.products():
                suffix = str(output.constant_suffix())
                ends = self._outputs.setdefault(
                    (str(output.constant_prefix()), len(suffix)), defaultdict(list)
                )
                ends[suffix].append((rule, output))
        self._producers: dict[str, set[Any]] = {}

    def match_producers(self, targetfile: str) -> set[Any]:
        """Return the rules with an output that matches a file."""
        if targetfile not in self._producers:
            self._producers[targetfile] = {
                rule
                for (prefix, length), ends in self._outputs.items()
                if targetfile.startswith(prefix)
                for rule, output in ends.get(targetfile[len(targetfile) - length :], ())
                if output.match(targetfile)
            }
        return self._producers[targetfile]


@functools.cache
def install() -> None:
    """Let the Snakemake of this process look up faster; once is enough."""
    from snakemake import common, dag, persistence, rules

    dag.OutputIndex = OutputIndex
    common.get_function_params = rules.get_function_params = functools.cache(
        common.get_function_params
    )
    records = persistence.PersistenceBase
    records._serialize_param_pandas = records._serialize_param_builtin
    gc.set_threshold(_NEW_OBJECTS)
