"""All backends as the tests run them: each with its test server, its settings and its key."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from conftest import REPOSITORY
from servers.anthropic import AnthropicServer
from servers.base import ProviderServer
from servers.fireworks import ACCOUNT, FireworksServer
from servers.gemini import GeminiServer
from servers.hosted import HostedServer
from servers.ollama import OllamaServer
from servers.openai import OpenAIServer
from servers.openai_compatible import CompatibleServer


@dataclass(frozen=True)
class Backend:
    """One backend, hosted ones once with their batch API and once without."""

    name: str
    server: Callable[[], Any]
    config: dict[str, Any]
    keys: dict[str, str] = field(default_factory=dict)
    is_batch: bool = False

    def settings(self, server: ProviderServer) -> dict[str, Any]:
        """The config's keys for this backend, asking the test server."""
        return {
            **self.config,
            "local_endpoint": server.url,
            "poll_interval_s": 0.05,
            **({"use_batch_api": self.is_batch} if self.keys else {}),
        }


def _hosted(
    name: str, server: Callable[[], HostedServer], model: str, **keys: str
) -> tuple[Backend, Backend]:
    config = {"backend": name, "model_id": model}
    return (
        Backend(f"{name} batch", server, config, keys, is_batch=True),
        Backend(f"{name} sync", server, config, keys),
    )


KEY = "key-of-the-test"

BACKENDS = (
    *_hosted(
        "fireworks",
        FireworksServer,
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
        FIREWORKS_API_KEY=KEY,
        FIREWORKS_ACCOUNT_ID=ACCOUNT,
    ),
    *_hosted("openai", OpenAIServer, "gpt-4o-mini", OPENAI_API_KEY=KEY),
    *_hosted("anthropic", AnthropicServer, "claude-3-haiku-20240307", ANTHROPIC_API_KEY=KEY),
    *_hosted("gemini", GeminiServer, "gemini-2.0-flash", GEMINI_API_KEY=KEY),
    Backend(
        "openai_compatible",
        CompatibleServer,
        {"backend": "openai_compatible", "model_id": "tiny-3m"},
    ),
    Backend(
        "ollama",
        OllamaServer,
        {"backend": "local", "local_engine": "ollama", "local_model": "tiny:3m"},
    ),
)

HOSTED_BATCH = tuple(backend for backend in BACKENDS if backend.is_batch)


@functools.cache
def documented_services() -> dict[str, dict[str, Any]]:
    """The blocks of docs/servers.md by their heading; the second of Azure is for dated versions."""
    text = (REPOSITORY / "docs/servers.md").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for section in text.split("\n## ")[1:]:
        name = section.split("\n")[0]
        for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL):
            found[name if name not in found else f"{name}, dated"] = yaml.safe_load(block)
    return found
