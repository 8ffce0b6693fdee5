"""Paths inside settings files.

They start in the folder that holds ``results``. That is the working folder, unless Snakemake keeps
the results with a storage provider and gives a job copies of its files elsewhere: then it is the
folder that the settings file itself was copied to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def folder_of(settings: Path) -> Path:
    """Return the folder that the paths in ``results/EXPERIMENT/settings/FILE`` start in."""
    parts = settings.parts
    inside = len(parts) >= 4 and parts[-4] == "results" and parts[-2] == "settings"
    return settings.parents[3] if inside else Path()


def _placed(path: str, info: ValidationInfo) -> str:
    folder: Path = (info.context or {}).get("folder", Path())
    return path if folder == Path() else (folder / path).as_posix()


Placed = Annotated[str, AfterValidator(_placed)]
"""A path in the results, as a process that read it from a settings file can use it."""
