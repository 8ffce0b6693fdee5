"""Tables of what can be named in a config: tasks, data formats, backends.

Each entry is one module with one declaration, an object with a ``name``. What ships stands in a
table; another installed package adds its own by an entry point of that name, such as

    [project.entry-points."assay.tasks"]
    multiple_choice = "my_package.multiple_choice:TASK"

docs/extending.md shows it step by step.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from .errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Named(Protocol):
    """A declaration."""

    @property
    def name(self) -> str:
        """Its name in configs."""
        ...


class UnknownNameError(UserError, KeyError):
    """A registry has no entry of that name."""

    __str__ = Exception.__str__  # a KeyError puts its message into quotes


Entry = TypeVar("Entry", bound=Named)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Declarations by name, imported when they are first asked for.

    Other packages' are looked for only where a name does not ship, or all names are wanted. So a
    table costs nothing until then.

    Args:
        what: the kind of entry, as messages call it.
        group: the entry point group in which other packages add theirs.
        shipped: ``module:object`` by name, in the order in which they are listed. Write them as
            texts in the call: `code_digest` reads them there.
    """

    def __init__(self, what: str, group: str, shipped: Mapping[str, str]) -> None:
        self._what = what
        self._group = group
        self._shipped = shipped
        self._found: dict[str, Entry] = {}

    @functools.cached_property
    def _places(self) -> dict[str, str]:
        """Where each declaration is.

        Raises:
            UserError: an installed package adds a name that is taken.
        """
        places = dict(self._shipped)
        for each in added(self._group):
            if each.name in places:
                raise UserError(
                    f"an installed package adds the {self._what} {each.name!r} ({each.value}), "
                    f"which is there already ({places[each.name]}). Rename it in that package's "
                    f"entry points (group {self._group!r}), or uninstall one of the two"
                )
            places[each.name] = each.value
        return places

    def __getitem__(self, name: str) -> Entry:
        """Return the declaration of that name.

        Raises:
            UnknownNameError: there is none; the message says which there are.
            UserError: its package does not give it.
        """
        if name not in self._found:
            if name not in self:
                raise UnknownNameError(self.no_such(name, self))
            place = self._shipped.get(name) or self._places[name]
            entry = load(place, f"the {self._what} {name!r}")
            if getattr(entry, "name", None) != name:
                raise UserError(
                    f"the {self._what} {name!r}: {place} has another name; make them equal"
                )
            self._found[name] = entry
        return self._found[name]

    def no_such(self, name: str, names: Collection[str]) -> str:
        """Say that a name is none of these."""
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        return f"unknown {self._what} {name!r}{hint} there are {', '.join(names)}"

    def __contains__(self, name: object) -> bool:
        return name in self._shipped or name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, eq=False)  # a mapping has no hash
class NameIn:
    """A name in a registry, as a config's value: ``Annotated[str, NameIn(FORMATS)]``.

    ``chosen`` says which of the declarations may be named; ``also`` are further values.
    """

    registry: Registry[Any]
    chosen: Callable[[Any], bool] = lambda entry: True
    also: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return all that may be written."""
        names = (name for name in self.registry if self.chosen(self.registry[name]))
        return [*names, *self.also]

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": self.names()}

    def _checked(self, name: str) -> str:
        try:
            if name in self.also or (name in self.registry and self.chosen(self.registry[name])):
                return name
        except UserError as error:
            raise ValueError(str(error)) from error
        raise ValueError(self.registry.no_such(name, self.names()))


def load(place: str, what: str) -> Any:
    """Return the object at ``module:object``.

    Raises:
        UserError: it cannot be imported; ``what`` says what it is.
    """
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever another package's module does
        raise UserError(
            f"{what}: {place} cannot be loaded ({type(error).__name__}: {error}). "
            f'`python -c "import {module}"` shows where'
        ) from error


@functools.cache
def added(group: str) -> list[EntryPoint]:
    """Return what other installed packages add to a group, by name."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda each: each.name)


def added_files(group: str) -> list[Path]:
    """Return the modules of the packages that add to a group: code that decides results."""
    files: list[Path] = []
    for top in sorted({each.module.partition(".")[0] for each in added(group)}):
        spec = importlib.util.find_spec(top)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files += sorted(Path(folder).rglob("*.py"))
        if spec and spec.origin and Path(spec.origin) not in files:
            files.append(Path(spec.origin))
    return files
