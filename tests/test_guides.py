"""The documentation names only what exists: pages, headings, messages, rules, targets and files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import snakemake
from conftest import REPOSITORY

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md")),
]
ANY = "…"
"""A part of a message that differs from case to case."""


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (REPOSITORY / page).parent / file if file else REPOSITORY / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/\w+\.md)", text_of("README.md")))
    assert linked >= set(PAGES[2:])


def messages(source: str) -> Iterator[str]:
    """The texts in a module, with ``…`` for what they are filled with."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else ANY for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%(\.\d+)?[sdgf]|\{\}", ANY, node.value)


def test_the_messages_in_troubleshooting_are_those_of_the_code() -> None:
    installed = Path(str(snakemake.__file__)).parent
    sources = [
        *(REPOSITORY / "workflow_scripts").rglob("*.py"),
        *(installed / name for name in ("exceptions.py", "common/__init__.py")),
    ]
    code = "\0".join(
        text for path in sources for text in messages(path.read_text(encoding="utf-8"))
    )
    page = text_of("docs/troubleshooting.md")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    quoted = [line for language, block in blocks if not language for line in block.splitlines()]
    assert len(quoted) > 15
    for line in quoted:
        assert line.strip(f"{ANY} :;,.()") in code, line
    # Each section quotes a message or names its symptom, and has one cause and one fix.
    for section in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        assert "```" in section or "**Symptom.**" in section, section
        assert section.count("**Cause.**") == section.count("**Fix.**") == 1, section
