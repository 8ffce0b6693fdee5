"""How a backend is sent a JSON schema: in its own dialect, with what that cannot say named."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.records import Enforced

Schema = Mapping[str, Any]


class Loosened(NamedTuple):
    """A keyword that the backend does not enforce, and its JSON pointer in the schema."""

    keyword: str
    pointer: str


class CannotEnforceError(ValueError):
    """A schema that a dialect can neither say nor loosen without losing answers.

    Args:
        keyword: what cannot be said.
        pointer: JSON pointer of its place in the schema.
        why: why not.
    """

    def __init__(self, keyword: str, pointer: str, why: str) -> None:
        super().__init__(f"{keyword!r} at {pointer or 'the root'}: {why}")
        self.keyword = keyword
        self.pointer = pointer


class Sent(NamedTuple):
    """A schema as a backend is sent it."""

    schema: dict[str, Any]
    loosened: tuple[Loosened, ...] = ()

    @property
    def enforced(self) -> Enforced:
        """Whether an answer obeys the original schema, or one that allows more."""
        return "loosened" if self.loosened else "exactly"


@dataclass(frozen=True)
class Dialect:
    """What a backend takes for a schema.

    Attributes:
        name: in the digest of each request that has a schema.
        version: raised when the same schema is sent or enforced differently; its answers are then
            requested again.
        translate: a schema as it is sent. Raises `CannotEnforceError`.
    """

    name: str
    version: int
    translate: Callable[[Schema], Sent]

    def sent(self, schema: Schema) -> Sent:
        """Return the schema as it is sent.

        Raises:
            CannotEnforceError: the backend cannot be held to it.
        """
        return _sent(self, ordered_text(schema))


def ordered_text(schema: Schema) -> str:
    """Return a schema as compact JSON. The order of its properties decides answers, so it stays."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


@functools.lru_cache(maxsize=1024)
def _sent(dialect: Dialect, text: str) -> Sent:
    return dialect.translate(json.loads(text))
