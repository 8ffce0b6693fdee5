"""Files that programs write or other people's packages bring: they answer no question."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", "CVS"})
"""Folders that are never read and never listed."""

FOREIGN = frozenset(
    {"node_modules", "bower_components", "__pycache__", ".venv", ".tox", ".nox", ".eggs"}
)
"""Folders of installed packages and compiled files."""

_LOCKS = frozenset(
    {
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
        *("poetry.lock", "pdm.lock", "uv.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml"),
        *("Cargo.lock", "Gemfile.lock", "composer.lock", "go.sum", "flake.lock", "mix.lock"),
        *("Podfile.lock", "pubspec.lock", "packages.lock.json", "gradle.lockfile"),
    }
)
_MINIFIED_NAME = re.compile(r"[.-]min\.(?:js|mjs|css)|\.(?:js|mjs|css)\.map", re.IGNORECASE)
_MINIFIABLE = frozenset({".js", ".mjs", ".cjs", ".css"})
_LONG_LINES = 500
"""The mean length of lines, in characters, from which a script counts as minified."""

_HEAD = 2_000
"""Characters; who wrote a file stands at its beginning."""

_MARKER = re.compile(
    r"@generated\b"
    r"|\bgenerated (?:by|from|with|code)\b[^\n]{0,200}\n?[^\n]{0,80}\bdo not (?:edit|modify)\b"
    r"|\bdo not (?:edit|modify)\b[^\n]{0,80}\n?[^\n]{0,80}\bgenerated\b"
    r"|^[^\w\n]*(?:this file (?:is|was) )?(?:auto-?|automatically )generated\b"
    r"[^\n]{0,200}\n?[^\n]{0,80}\bdo not (?:edit|modify)\b",
    re.IGNORECASE | re.MULTILINE,
)


def generated_by_name(path: str) -> str | None:
    """Return why the file of this path counts as generated; ``None``: it does not."""
    name = PurePosixPath(path).name
    if name in _LOCKS:
        return "generated: a lock file"
    if _MINIFIED_NAME.search(name):
        return "generated: minified, by its name"
    return None


def generated_by_text(path: str, text: str) -> str | None:
    """Return why a text counts as generated; ``None``: it does not."""
    head = text[:_HEAD]
    if "generated" in head.lower() and _MARKER.search(head):  # each marker has the word
        return "generated: its first lines say so"
    is_minifiable = PurePosixPath(path).suffix.lower() in _MINIFIABLE
    if is_minifiable and len(text) > _LONG_LINES * (text.count("\n") + 1):
        return f"generated: minified, its lines have over {_LONG_LINES} characters on average"
    return None
