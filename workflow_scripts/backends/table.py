"""The table of backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.registry import Registry

if TYPE_CHECKING:
    from .backend import Backend

DEFAULT = "fireworks"
"""The backend of a config that names none."""

BACKENDS: Registry[Backend] = Registry(
    "backend",
    "assay.backends",
    {
        "fireworks": "workflow_scripts.backends.fireworks:BACKEND",
        "openai": "workflow_scripts.backends.openai:BACKEND",
        "anthropic": "workflow_scripts.backends.anthropic:BACKEND",
        "gemini": "workflow_scripts.backends.gemini:BACKEND",
        "openai_compatible": "workflow_scripts.backends.openai_compatible:BACKEND",
        "ollama": "workflow_scripts.backends.ollama:BACKEND",
        "llama_cpp": "workflow_scripts.backends.llama_cpp:BACKEND",
    },
)
"""A backend is one module with its declaration, and one line here; see docs/extending.md."""
