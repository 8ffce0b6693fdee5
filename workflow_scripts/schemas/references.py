"""References within a schema: the places that they name, and names for these."""

from __future__ import annotations

import itertools
import re
from typing import Any

from .dialect import CannotEnforceError


class References:
    """The places that references of one schema name.

    Args:
        schema: the whole schema.

    Attributes:
        names: of each place that became a definition, by its JSON pointer.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.names: dict[str, str] = {}
        self._schema = schema

    def pointer(self, ref: str, at: str) -> str:
        """Return the JSON pointer that a reference names.

        Raises:
            CannotEnforceError: it names no place in the schema.
        """
        pointer = ref.removeprefix("#")
        if not ref.startswith("#") or (pointer and not pointer.startswith("/")):
            raise CannotEnforceError("$ref", at, f"{ref!r} is no place in this schema (#/…)")
        return pointer

    def schema_at(self, pointer: str) -> Any:
        """Return the schema at a pointer.

        Raises:
            CannotEnforceError: there is none.
        """
        found: Any = self._schema
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (LookupError, ValueError, TypeError) as error:
                raise CannotEnforceError("$ref", pointer, "there is no such place") from error
        return found

    def named(self, pointer: str) -> str:
        """Return the name of the definition that a pointer becomes."""
        if pointer not in self.names:
            last = re.sub(r"\W+", "_", pointer.rsplit("/", 1)[-1], flags=re.ASCII) or "root"
            taken, name = set(self.names.values()), last
            numbers = itertools.count(2)
            while name in taken:
                name = f"{last}_{next(numbers)}"
            self.names[pointer] = name
        return self.names[pointer]
