"""The seam between Assay and whatever answers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..config.schema import BackendSettings
from ..errors import UserError
from ..records import Completion, Decoding, Message


class RequestError(Exception):
    """A request got no answer.

    ``retryable`` is false where the same request can only fail again (for example because its
    prompt is longer than the context).
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class InferenceClient(Protocol):
    """Answers one request at a time. To be used by as many threads as ``max_concurrent`` says."""

    max_concurrent: int
    """Requests that may be in flight at once."""

    def identity(self) -> Mapping[str, str]:
        """What decides the answers besides the request itself; part of the journal's digest."""
        ...

    def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
        """Answer one chat.

        Raises:
            RequestError: there is no answer.
        """
        ...


class BatchExecutor(Protocol):
    """Answers a whole part."""

    def run_jsonl(self, input_path: Path, output_path: Path, max_concurrent: int) -> None:
        """Write the raw part of the requests in ``input_path``, in their order."""
        ...


_CLIENTS = {"llama_cpp": "workflow_scripts.infer.llama_cpp_client:LlamaCppClient"}
"""Engine -> client class. A backend is one module, one line here, and its contract test."""


def make_client(settings: BackendSettings) -> InferenceClient:
    """The client of a backend.

    Raises:
        UserError: this version has no client for it, or the client cannot start.
    """
    if settings.engine not in _CLIENTS:
        raise UserError(
            f"backend {settings.engine!r} can be planned but not run by this version of Assay; "
            f"it can run: {', '.join(_CLIENTS)}"
        )
    module, name = _CLIENTS[settings.engine].split(":")
    client: InferenceClient = getattr(importlib.import_module(module), name)(settings)
    return client
