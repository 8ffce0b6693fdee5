"""What a backend is, as a declaration: config, plan, prices, journal and rules ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from ..core.records import Decoding, Request
from ..core.values import BackendName
from ..schemas.dialect import Dialect
from .capabilities import PARAMETERS, Capabilities


@dataclass(frozen=True)
class Server:
    """A server of the user's own.

    Attributes:
        default: the address where it usually is; ``None`` where the config must say it.
        path: of its interface; people may write it at the end of the address.
    """

    default: str | None = None
    path: str = ""


@dataclass(frozen=True)
class Backend:
    """Where text comes from.

    Attributes:
        name: in configs, in paths, and in the identities of answers.
        description: what it is, in one line.
        client: ``module:class`` of its `client.InferenceClient`, made from `BackendSettings`. It is
            imported when it is first needed; this module is imported to check a config, so it
            imports nothing heavy.
        reader: ``module:function`` that reads a kept reply again. It takes the JSON in it, which
            may also be a line of a batch job's results, and the request's `Decoding`. It returns a
            `Completion` or raises what the client does. Empty where no server replies.
        model: what names a model, in words.
        rows: what its models take; the first that matches a model holds, and the last matches all.
        is_local: the user's own model on this machine. Configs choose it by ``backend: local`` and
            ``local_engine``, its model is ``local_model``, and it costs nothing. All others are
            chosen by ``backend``, and their model is ``model_id``.
        model_is_file: its model is a GGUF file, read in this process.
        server: the server of the user's own that it asks; what is behind a model's name there is
            only known after `check`.
        is_hosted: somebody else's service, which charges for answers.
        has_batch_api: its client is a `client.BatchClient`.
        key_variables: environment variables that its key may be in, the first that is set.
        concurrency: requests in flight at once, where the config does not say it; ``auto`` is as
            many as it bears.
        occupies_accelerator: its jobs take turns on the machine of the model.
        dialect: how it is sent a JSON schema, by the identity of who answers
            (`client.InferenceClient.identity`); ``None`` where it cannot be held to one.
        takes_shape: the config may change its requests, their headers and their address
            (`settings.OF_ONE_SERVER`).
        judges_by_schema: its judges' replies are held to a schema. For a backend that judged
            without one in an earlier version it stays false, so that its answers count.
        caches_all: the provider may put any part of a prompt into its cache, and charge for that;
            otherwise the system prompt alone.
        also_sent: what a request says about sampling and thinking beside its row, by the identity
            of who answers.
        new_rules: what of a request is asked differently than in earlier versions, whose answers
            were wrong. It becomes part of the request's digest, so it never changes.
    """

    name: str
    description: str
    client: str
    reader: str = ""
    model: str = "a model's id"
    rows: tuple[Capabilities, ...] = (Capabilities(".*", {name: name for name in PARAMETERS}),)
    is_local: bool = False
    model_is_file: bool = False
    server: Server | None = None
    is_hosted: bool = False
    has_batch_api: bool = False
    key_variables: tuple[str, ...] = ()
    concurrency: int | Literal["auto"] = "auto"
    occupies_accelerator: bool = False
    dialect: Callable[[Mapping[str, str]], Dialect | None] | None = None
    takes_shape: bool = False
    judges_by_schema: bool = False
    caches_all: bool = True
    also_sent: Callable[[Mapping[str, str], Decoding], Mapping[str, Any]] | None = None
    new_rules: Callable[[Request], list[str]] | None = None

    def __post_init__(self) -> None:
        TypeAdapter(BackendName).validate_python(self.name)
        if self.rows[-1].models != ".*":
            raise ValueError("the last row must be of the models '.*', so that each model has one")
