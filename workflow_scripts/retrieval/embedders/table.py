"""The table of embedders with a model."""

from __future__ import annotations

from ...core.registry import load
from .embedder import LearnedEmbedder
from .settings import LearnedFields

_CLASSES = {
    "llama_cpp": "workflow_scripts.retrieval.embedders.llama_cpp:LlamaCppEmbedder",
    "ollama": "workflow_scripts.retrieval.embedders.served:OllamaEmbedder",
    "openai": "workflow_scripts.retrieval.embedders.served:OpenAIEmbedder",
    "openai_compatible": "workflow_scripts.retrieval.embedders.served:CompatibleEmbedder",
}
"""By ``kind``; imported when one is used."""


def make_embedder(settings: LearnedFields) -> LearnedEmbedder:
    """Return the embedder of a config.

    Raises:
        UserError: its key is missing.
    """
    kind: str = settings.kind  # type: ignore[attr-defined] # of each block of the union
    made: LearnedEmbedder = load(_CLASSES[kind], f"the embedder {kind!r}").of(settings)
    return made
