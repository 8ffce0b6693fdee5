"""Libraries that only retrieval needs; envs/rag.txt pins them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from ..core.errors import UserError

INSTALL = "python -m pip install --requirement envs/rag.txt"


def is_installed(*modules: str) -> bool:
    """Return whether all of these modules can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def optional(module: str) -> ModuleType:
    """Import one of these libraries.

    Raises:
        UserError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"retrieval needs {error.name!r}. Run: {INSTALL}") from error
