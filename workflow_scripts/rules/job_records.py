"""Snakemake's records of how each file was made, kept with the results.

Snakemake compares params, inputs and checksums with its records. It keeps them in
``.snakemake/metadata``, apart from the files that they describe, so a copy of the results, or
``rm -rf .snakemake``, loses them: a change of the code then goes unseen. Here they are in
``results/job_records``. Their names are made from relative paths, so they hold in any folder.

Snakemake has no setting for this. These private parts of version 9.27 are used, and
``tests/test_job_records.py`` fails when one of them changes: ``FilePersistence.__init__`` (wrapped)
and its ``_metadata_path`` and ``_incomplete_path``.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

_RECORDS = Path("results/job_records")
_OF_SNAKEMAKE = Path(".snakemake")


@functools.cache
def keep_with_results() -> None:
    """Let the Snakemake of this process keep its records in the results; once is enough."""
    from snakemake.persistence.file import FilePersistence

    initialise = FilePersistence.__init__

    @functools.wraps(initialise)
    def initialise_in_results(persistence: Any, *args: Any, **kwargs: Any) -> None:
        initialise(persistence, *args, **kwargs)
        if kwargs.get("path") is None:  # else a remote job's own, thrown away with it
            persistence._metadata_path = _folder("metadata")
            persistence._incomplete_path = _folder("incomplete")

    FilePersistence.__init__ = initialise_in_results


def _folder(name: str) -> str:
    """A folder of records, made if it is missing; then records of Assay 0.1 and 0.2 move there."""
    folder = (_RECORDS / name).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(_OF_SNAKEMAKE / name, folder)
    return str(folder)
