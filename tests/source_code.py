"""Modules as machines read them, for tests of what they may name."""

from __future__ import annotations

import ast
from pathlib import Path

from workflow_scripts.core.parsed_code import is_help, is_text


def code_of(path: Path, *, with_help: bool) -> ast.Module:
    """The tree of a module without docstrings, and with texts of help if these count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                kept = [each for each in value if not is_text(each)]
                if not with_help:
                    kept = [each for each in kept if not is_help(each, node)]
                setattr(node, name, kept)
    return tree
