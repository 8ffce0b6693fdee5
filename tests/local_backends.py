"""Local servers as their clients' tests use them: each with its settings."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import answering
import pytest
import tenacity
from servers.base import ProviderServer, running
from servers.ollama import OllamaServer
from servers.openai_compatible import CompatibleServer

from workflow_scripts.backends.client import InferenceClient, make_client
from workflow_scripts.backends.openai_compatible import KEY_VARIABLE
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.records import Completion, Decoding, Message

Made = TypeVar("Made")

run = partial(answering.run, retries=2, max_concurrent=4)

DECODING = Decoding(temperature=0.0, max_new_tokens=8, seed=0)


@dataclass
class Backend:
    """A running server and the settings of its client."""

    server: Any
    settings: dict[str, Any]

    def client(self, **changes: Any) -> InferenceClient:
        return make_client(BackendSettings(**{**self.settings, **changes}))

    def use(
        self, work: Callable[[InferenceClient], Coroutine[Any, Any, Made]], **changes: Any
    ) -> Made:
        """What comes of some work with a new client, opened and closed again."""

        return answering.use(self.client(**changes), work)

    def ask(
        self, question: str = "Where is Oslo?", decoding: Decoding = DECODING, **changes: Any
    ) -> Completion:
        return self.use(lambda client: client.generate(chat(question), decoding), **changes)

    def check(self, **changes: Any) -> str:
        return self.use(lambda client: client.check(), **changes)

    def identity(self, **changes: Any) -> dict[str, str]:
        async def known(client: InferenceClient) -> dict[str, str]:
            return dict(client.identity())

        return self.use(known, **changes)


def ollama_settings(server: ProviderServer) -> dict[str, Any]:
    return {
        "backend": "local",
        "local_engine": "ollama",
        "local_endpoint": server.url,
        "local_model": "tiny:3m",
        "n_ctx": 64,
    }


def openai_settings(server: ProviderServer) -> dict[str, Any]:
    return {
        "backend": "openai_compatible",
        "local_endpoint": server.url,
        "model_id": "tiny-3m",
    }


@contextmanager
def ready() -> Iterator[None]:
    """No key is set, and between tries there is hardly a pause."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEY_VARIABLE, raising=False)
        for name in ("wait_random_exponential", "wait_exponential"):
            patch.setattr(tenacity, name, lambda **_: tenacity.wait_fixed(0.01))
        yield


@contextmanager
def of_ollama() -> Iterator[Backend]:
    """Ollama."""
    with ready(), running(OllamaServer()) as server:
        yield Backend(server, ollama_settings(server))


@contextmanager
def of_openai() -> Iterator[Backend]:
    """A server that speaks as OpenAI does."""
    with ready(), running(CompatibleServer()) as server:
        yield Backend(server, openai_settings(server))


def chat(question: str) -> list[Message]:
    return [
        Message(role="system", content="Answer."),
        Message(role="user", content=question),
    ]


def first_try(fault: str) -> Callable[[str, int], str]:
    """Every chat fails once in this way."""
    return lambda question, tries: "" if tries or question.startswith("/") else fault


def always(fault: str) -> Callable[[str, int], str]:
    return lambda question, tries: "" if question.startswith("/") else fault
