"""Patterns of paths, as .gitignore has them: what a config includes, and what Git ignores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .optional import optional

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"


def patterns(lines: Iterable[str], where: str) -> GitIgnoreSpec:
    """Return some patterns, compiled.

    Raises:
        UserError: one of them is none.
    """
    try:
        spec: GitIgnoreSpec = optional("pathspec").GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise UserError(f"{where}: not a pattern of paths ({error})") from error
    return spec


class Selection:
    """The paths that a config includes and does not exclude."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = patterns(include, "include")
        self._exclude = patterns(exclude, "exclude")

    def __contains__(self, path: str) -> bool:
        return self._include.match_file(path) and not self._exclude.match_file(path)


class Ignored:
    """What the .gitignore files of a folder, of those above it and of those inside it ignore.

    Those above count up to the folder of the repository, unless they ignore the folder itself. A
    file inside wins over those above it.
    """

    def __init__(self, root: Path) -> None:
        self._specs: dict[str, GitIgnoreSpec] = {}
        self._above: list[tuple[str, GitIgnoreSpec]] = []
        folder, beneath = root.resolve(), ""
        repository = next((each for each in (folder, *folder.parents) if _is_root(each)), None)
        while repository is not None and folder != repository:
            beneath = f"{folder.name}/{beneath}"
            folder = folder.parent
            if (spec := _read(folder)) is not None:
                self._above.append((beneath, spec))
        if any(spec.match_file(beneath) for beneath, spec in self._above):
            self._above = []

    def enter(self, folder: str, place: Path) -> None:
        """Read the file of a folder; ``folder`` is its path with a final ``/``, or empty."""
        if (spec := _read(place)) is not None:
            self._specs[folder] = spec

    def __contains__(self, path: str) -> bool:
        """Whether a path is ignored; that of a folder ends with ``/``."""
        for spec, below in self._rules(path):
            decided = spec.check_file(below).include
            if decided is not None:
                return decided
        return False

    def _rules(self, path: str) -> Iterator[tuple[GitIgnoreSpec, str]]:
        """Yield the rules that a path obeys, the nearest first, each with the path it sees."""
        end = len(path) - 1
        while self._specs and end >= 0:
            end = path.rfind("/", 0, end)
            folder = path[: end + 1]
            if folder in self._specs:
                yield self._specs[folder], path[len(folder) :]
        for beneath, spec in self._above:
            yield spec, beneath + path


def _is_root(folder: Path) -> bool:
    return (folder / ".git").exists()


def _read(folder: Path) -> GitIgnoreSpec | None:
    path = folder / IGNORE_FILE
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return None
    return patterns(text.splitlines(), str(path))
