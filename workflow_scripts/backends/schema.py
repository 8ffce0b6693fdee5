"""How whoever answers a request is held to its JSON schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..core.errors import UserError
from ..core.records import Enforced, Request
from ..schemas.dialect import CannotEnforceError, Dialect, Schema, Sent, ordered_text
from .table import BACKENDS


def dialect_of(identity: Mapping[str, str]) -> Dialect | None:
    """Return the dialect of who answers (`client.InferenceClient.identity`), or None without one.

    A folder that somebody sent may be of a backend that is not installed here.
    """
    backend = BACKENDS.get(identity.get("engine", ""))
    return None if backend is None or backend.dialect is None else backend.dialect(identity)


def sent_schema(identity: Mapping[str, str], schema: Schema) -> Sent:
    """Return a schema as whoever answers is sent it.

    Raises:
        CannotEnforceError: they cannot be held to it.
    """
    dialect = dialect_of(identity)
    if dialect is None:
        who = " ".join(identity[name] for name in ("engine", "model") if name in identity)
        raise CannotEnforceError("schema", "", f"{who or 'the backend'} enforces no JSON schema")
    return dialect.sent(schema)


def enforcement(identity: Mapping[str, str], request: Request) -> Enforced | None:
    """Return how a request's answer is held to its schema; None where it has none.

    Raises:
        UserError: it cannot be. Nothing was sent.
    """
    if request.decoding.json_schema is None:
        return None
    try:
        return sent_schema(identity, request.decoding.json_schema).enforced
    except CannotEnforceError as error:
        raise UserError(
            f"data set {request.dataset}, item {request.item_id}: its JSON schema cannot be "
            f"enforced. {error}. Change the schema or the backend, or ask without enforcing it"
        ) from error


class NotEnforced(NamedTuple):
    """A keyword of a data set's JSON schemas that is not enforced, and its JSON pointer."""

    dataset: str
    keyword: str
    pointer: str

    def told(self, schemas: int) -> str:
        """Return it as a remark; ``schemas``: how many have it."""
        many = f" in {schemas} schemas" if schemas > 1 else ""
        place = self.pointer.removesuffix(f"/{self.keyword}") or "the root"
        return f"data set {self.dataset}: {self.keyword} at {place} is not enforced{many}"


def not_enforced(identity: Mapping[str, str], requests: Iterable[Request]) -> Counter[NotEnforced]:
    """Return what is not enforced of the requests' JSON schemas, and in how many of them.

    Raises:
        UserError: a schema cannot be enforced at all.
    """
    seen: set[tuple[str, str]] = set()
    loosened: Counter[NotEnforced] = Counter()
    for request in requests:
        schema = request.decoding.json_schema
        if schema is None or (key := (request.dataset, ordered_text(schema))) in seen:
            continue
        seen.add(key)
        enforcement(identity, request)
        for each in sent_schema(identity, schema).loosened:
            loosened[NotEnforced(request.dataset, *each)] += 1
    return loosened
