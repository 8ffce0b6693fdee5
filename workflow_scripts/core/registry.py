"""Tables of what can be named in a config: tasks, data formats, backends.

Each entry is one module. What ships stands in a table; another installed package adds its own by
an entry point, such as

    [project.entry-points."assay.tasks"]
    multiple_choice = "my_package.multiple_choice:TASK"
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from .errors import UserError

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, imported when they are first asked for.

    Args:
        what: the kind of entry, as messages call it.
        group: the entry point group in which other packages add theirs.
        shipped: ``module:object`` by name, in the order in which they are listed.
    """

    def __init__(self, what: str, group: str, shipped: Mapping[str, str]) -> None:
        self._what = what
        self._added = {each.name: each for each in importlib.metadata.entry_points(group=group)}
        self._places = {**shipped, **{name: each.value for name, each in self._added.items()}}
        self._found: dict[str, Entry] = {}
        if repeated := sorted(shipped.keys() & self._added.keys()):
            raise UserError(
                f"an installed package adds the {what} {repeated[0]!r}, which Assay has already; "
                f"rename it in that package's entry points (group {group!r})"
            )

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises:
            UserError: there is none, or its package does not give it; the message says which there
                are.
        """
        if name not in self._places:
            raise UserError(f"unknown {self._what} {name!r}; there are {', '.join(self)}")
        if name not in self._found:
            module, _, attribute = self._places[name].partition(":")
            try:
                self._found[name] = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise UserError(
                    f"{self._what} {name!r}: {self._places[name]} cannot be loaded ({error})"
                ) from error
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def added_files(self) -> list[Path]:
        """Return the modules that other packages have added: code that decides results."""
        specs = (importlib.util.find_spec(each.module) for each in self._added.values())
        return sorted(Path(each.origin) for each in specs if each and each.origin)
