"""How whoever answers a request is held to its JSON schema."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import UserError
from ..core.records import Enforced, Request
from ..schemas.dialect import CannotEnforceError, Dialect, Schema, Sent
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
