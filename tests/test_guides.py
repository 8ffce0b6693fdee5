"""The documentation names only what exists: pages, headings, messages, rules, targets and files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import snakemake
from conftest import REPOSITORY

from workflow_scripts.config.schema import Config
from workflow_scripts.rules.layout import PAGE, TRIAL, Layout

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


def table(page: str, first_column: str) -> list[list[str]]:
    """The rows of a page's table whose head begins with a column."""
    lines = text_of(page).split(f"\n| {first_column} |")[1].splitlines()[2:]
    rows = lines[: lines.index("")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_sizes_in_performance_follow_from_its_formulas() -> None:
    bits = {"Q4_K_M": 4.9, "Q8_0": 8.5}
    weights, cache = {}, {}
    for model, billions, layers, heads, kib, *sizes in table("docs/performance.md", "model"):
        cache[model] = int(layers) * int(heads) * (128 + 128) * 2
        assert cache[model] == int(kib) * 1024
        for name, size in zip(bits, sizes, strict=True):
            weights[f"{model} {name}"] = float(billions) * bits[name] / 8
            assert size == f"{weights[f'{model} {name}']:.1f}"
    presets = table("docs/performance.md", "GPU memory, GB")
    assert [row[0] for row in presets[::3]] == ["8", "12", "16", "24"]
    for memory, _, model, slots, n_ctx, total in presets:
        tokens = int(slots) * int(n_ctx.replace(",", ""))
        gb = weights[model] + tokens * cache[model.split()[0]] / 1e9
        assert total == f"{gb:.1f}"
        assert gb < 0.9 * int(memory)


RULES = {
    path: path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "Snakefile", *REPOSITORY.glob("rules/*.smk"))
}
RULE_NAMES = {
    name
    for text in RULES.values()
    for name in re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE)
}


def quoted(cells: Iterable[str]) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", " ".join(cells))


def test_the_phases_in_migrating_are_rules_targets_and_verbs() -> None:
    makefile = text_of("Makefile")
    for _, rules, targets, verb in table("docs/migrating.md", "phase"):
        assert set(quoted([rules])) <= RULE_NAMES
        for command in quoted([targets]):
            assert command.split()[-1] in {*RULE_NAMES, PAGE}
        for name in quoted([verb]):
            assert f"\n{name}:" in makefile


def test_the_flags_in_migrating_are_targets_and_config_keys() -> None:
    keys, options = set(Config.model_fields), {"-n", "-R", "--cores"}
    for _, here in table("docs/migrating.md", "flag"):
        for each in quoted([here]):
            program, *words = each.split()
            if program != "snakemake":
                assert program in keys or f'"{program}"' in "".join(RULES.values()), each
            elif words[0] == "--config":
                assert words[1].partition("=")[0] in keys
            elif words[0] != "--configfile":
                assert words[0] in options | RULE_NAMES, each
                assert set(words[1:]) <= {*RULE_NAMES, "8"}, each


def test_the_outputs_in_migrating_lie_where_it_says() -> None:
    layout = Layout("{experiment}")
    text = "".join(RULES.values())
    known = {layout.items, layout.requests, layout.raw, layout.run_crate}
    known.add(layout.batch_job("submitted"))
    known |= {layout.trial(name) for name in re.findall(r'LAYOUT\.trial\("([^"]+)"\)', text)}
    known |= {layout.trial(name) for name in re.findall(r'shown\("([^"]+)"', text)}
    known |= {layout.of(name) for name in re.findall(r'LAYOUT\.of\("([^"]+)"\)', text)}
    paths = quoted(file for _, file in table("docs/migrating.md", "output"))
    assert len(paths) > 15
    assert {layout.of(each.replace("TRIAL", TRIAL)) for each in paths} <= known


@pytest.mark.parametrize("page", PAGES)
def test_the_verbs_on_the_pages_exist(page: str) -> None:
    verbs = set(re.findall(r"^## ([\w-]+):", text_of("Makefile"), re.MULTILINE))
    named = re.findall(
        r"(?:`|^|or: )(?:make|\.\\tasks\.ps1) ([a-z-]+)", text_of(page), re.MULTILINE
    )
    assert {name for name in named if not name.startswith("-")} <= verbs


def test_windows_shows_configs_and_files_that_exist() -> None:
    page = text_of("docs/windows.md")
    named = re.findall(r"\b(?:config|envs)/[\w.-]+", page) + re.findall(r"\b\w+\.ps1\b", page)
    assert len(set(named)) >= 2
    assert all((REPOSITORY / name).is_file() for name in named)
