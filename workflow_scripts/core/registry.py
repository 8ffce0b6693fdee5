"""Tables of what can be named in a config: tasks, data formats, backends.

Each entry is one module. What ships stands in a table; another installed package adds its own by
an entry point, such as

    [project.entry-points."assay.tasks"]
    multiple_choice = "my_package.multiple_choice:TASK"
"""

from __future__ import annotations

import difflib
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
        shipped: by name, in the order in which they are listed, each as it is or as
            ``module:object``.
    """

    def __init__(self, what: str, group: str, shipped: Mapping[str, Entry | str]) -> None:
        self._what = what
        self._added = {each.name: each for each in importlib.metadata.entry_points(group=group)}
        self._entries: dict[str, Entry | str] = {
            **shipped,
            **{name: each.value for name, each in self._added.items()},
        }
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
        if name not in self._entries:
            raise UserError(self.unknown(name))
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = self._loaded(name, entry)
        return entry

    def unknown(self, name: str) -> str:
        """Return what to say of a name that is not in the table."""
        nearest = difflib.get_close_matches(name, self, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
        return f"unknown {self._what} {name!r}{hint} there are {', '.join(self)}"

    def _loaded(self, name: str, place: str) -> Entry:
        module, _, attribute = place.partition(":")
        try:
            entry: Entry = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            message = f"{self._what} {name!r}: {place} cannot be loaded ({error})"
            raise UserError(message) from error
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def added_files(self) -> list[Path]:
        """Return the modules that other packages have added: code that decides results."""
        specs = (importlib.util.find_spec(each.module) for each in self._added.values())
        return sorted(Path(each.origin) for each in specs if each and each.origin)
