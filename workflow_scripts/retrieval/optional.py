"""Libraries that only retrieval needs; envs/rag.txt pins them."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..core.errors import UserError

INSTALL = "python -m pip install --requirement envs/rag.txt"


def optional(module: str) -> ModuleType:
    """Import one of these libraries.

    Raises:
        UserError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"retrieval needs {error.name!r}. Run: {INSTALL}") from error
