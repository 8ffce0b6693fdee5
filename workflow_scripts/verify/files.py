"""Verify files: each is as the command that made it left it, and made from what lies there now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..core.files import read_settings, sha256_of
from ..core.seals import FOLDER, Seal, SealedFile
from .problem import Problem, raise_problems


class FileReport(NamedTuple):
    """What became of the files of a chain.

    ``problems`` name file, line and remedy, what comes first in the chain first. ``sealed`` and
    ``unsealed`` are the files that a seal speaks for, and those that none does.
    """

    problems: list[Problem]
    sealed: list[Path]
    unsealed: list[Path]


class _Made(NamedTuple):
    """A file as the seal of its maker has it."""

    file: SealedFile
    seal: Seal
    folder: Path

    def inputs(self) -> list[tuple[Path, SealedFile]]:
        """Return the files that it was made from."""
        return [(_place(self.folder, file), file) for file in self.seal.inputs]


class _Reading(NamedTuple):
    """A file as a command read it, and what that command made from it."""

    file: SealedFile
    output: Path


def check_files(roots: Iterable[Path]) -> FileReport:
    """Follow the seals from some files up to the files that they were made from, and check all.

    A file must be as its maker sealed it, and each command must have read it as it is now.

    Raises:
        UserError: a file or a seal cannot be read.
    """
    makers: dict[Path, dict[Path, _Made]] = {}
    readings: dict[Path, list[_Reading]] = {}
    found: dict[Path, _Made | None] = {}
    order: list[Path] = []

    def visit(path: Path) -> None:
        if path in found:
            return
        if path.parent not in makers:
            makers[path.parent] = _made_in(path.parent)
        found[path] = made = makers[path.parent].get(path)
        for source, file in made.inputs() if made else ():
            readings.setdefault(source, []).append(_Reading(file, path))
            visit(source)
        order.append(path)

    for root in roots:
        visit(Path(os.path.normpath(root)))
    report = FileReport([], [], [])
    for path in order:
        read = readings.get(path, [])
        (report.sealed if found[path] or read else report.unsealed).append(path)
        text = _problem(path, found[path], read)
        if text is not None:
            report.problems.append(Problem(path, text))
    return report


def require_unchanged(paths: Iterable[Path]) -> None:
    """Check files, and what they were made from, before they are shown.

    Raises:
        UserError: one was changed after it was made; with file, line and remedy.
    """
    raise_problems(check_files(paths).problems)


def _made_in(folder: Path) -> dict[Path, _Made]:
    """Return the files of a folder that have seals; of several, the newest seal counts.

    An earlier version may have made a file by another command, whose seal is still there.
    """
    seals = folder / FOLDER
    oldest_first = sorted(seals.glob("*.json"), key=lambda path: (path.stat().st_mtime, path))
    return {
        _place(seals, file): _Made(file, seal, seals)
        for seal in (read_settings(path, Seal) for path in oldest_first)
        for file in seal.outputs
    }


def _place(folder: Path, file: SealedFile) -> Path:
    return Path(os.path.normpath(folder / file.path))


def _problem(path: Path, made: _Made | None, readings: list[_Reading]) -> str | None:
    """Return what is wrong with a file, if anything is."""
    if made is None and not readings:
        return None
    if not path.is_file():
        return f"{path}: no such file, but it belongs to these results. Run again to make it again."
    now = sha256_of(path)
    if made is not None and now != made.file.sha256:
        line = made.file.first_difference(path)
        where = f"{path}, line {line}" if line else f"{path}"
        return (
            f"{where}: this file was changed after it was made. Delete it and run again: it is "
            "made again, and no answer that the journal holds is sent again."
        )
    for reading in readings:
        if reading.file.sha256 != now:
            return (
                f"{reading.output}: it was made from another {path.name} than the one that lies "
                f"there now ({path}). Delete {reading.output} and run again to make it again."
            )
    return None
