"""Prompts that are chats: read from files, put before items, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import Project

from workflow_scripts.core.chats import Chat, read_chat
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Message

SHOTS = """turns:
  - system: Answer in one word.
  - user: "Question: Who wrote {Dune}?"
  - assistant: Herbert
"""

WITH_ITEM = """# System

Answer in one word.

## user
Who wrote Dune?

## Assistant

Herbert

# user
Now this one: {question}
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def turn(role: str, content: str) -> Message:
    return Message.model_validate({"role": role, "content": content})


def test_a_text_is_a_system_prompt_also_in_markdown(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md"):
        found = read_chat(written(tmp_path, name, "# Rules\n\nBe brief.\n"))
        assert found == Chat([turn("system", "# Rules\n\nBe brief.")], None)
        assert found.system == "# Rules\n\nBe brief."
        assert found.others == []


def test_turns_in_yaml(tmp_path: Path) -> None:
    found = read_chat(written(tmp_path, "few.yaml", SHOTS))
    assert found.turns == [
        turn("system", "Answer in one word."),
        turn("user", "Question: Who wrote {Dune}?"),
        turn("assistant", "Herbert"),
    ]
    assert found.template is None
    assert found.others == ["user: Question: Who wrote {Dune}?", "assistant: Herbert"]


def test_a_last_turn_of_the_user_is_the_text_around_the_item(tmp_path: Path) -> None:
    found = read_chat(written(tmp_path, "few.md", WITH_ITEM))
    assert [each.role for each in found.turns] == ["system", "user", "assistant"]
    assert found.template == "Now this one: {question}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("turns: []\n", "expected turns"),
        ("- user: x\n", "expected keys with values"),
        ("turns: [{users: x}]\n", "turn 1: expected one role with its text"),
        ("turns: [{user: x, assistant: y}]\n", "turn 1: expected one role"),
        ("turns: [{user: 1}]\n", "turn 1: expected one role"),
        ("turns: [{user: ' '}]\n", "turn 1 .user. is empty"),
        ("turns: [{user: a}, {user: b}]\n", "turn 2 is the user's, but the assistant's"),
        ("turns: [{user: a}, {system: b}]\n", "turn 2 is the system's"),
        ("turns: [{assistant: a}]\n", "turn 1 is the assistant's, but the user's"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"few\.yaml.*{message}"):
        read_chat(written(tmp_path, "few.yaml", text))


@pytest.mark.workflow
def test_a_chat_is_an_arm(project: Project) -> None:
    """Few-shot examples against the plain prompt, to the page; then the item's own text."""
    written(project.root, "prompts/system/few.yaml", SHOTS)
    config = yaml.safe_load((project.root / "config/config.yaml").read_text(encoding="utf-8"))
    config["prompt_sets"] = {
        "shots": {"control": "control", "treatment": "prompts/system/few.yaml"}
    }
    config["limit_items"] = 10
    del config["datasets"]["demo_open"]
    written(project.root, "config/config.yaml", yaml.safe_dump(config))
    project.snakemake("--cores", "2", "results/report.html")
    part = project.root / "results/demo/inputs/default/closed_book.few.t0.0.p000.jsonl"
    first = json.loads(part.read_text(encoding="utf-8").splitlines()[0])
    roles = [each["role"] for each in first["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    (trial,) = (project.root / "results/demo").glob("*/*/default/shots")
    differences = json.loads((trial / "differences.json").read_text(encoding="utf-8"))
    (found,) = differences["treatments"].values()
    assert found["declared"] == ["system prompt", "instruction"]
    assert set(found["differing"]) == {"system prompt", "instruction"}
    page = (trial / "report.html").read_text(encoding="utf-8")
    assert "assistant: Herbert" in page
    written(project.root, "prompts/system/few.yaml", SHOTS + '  - user: "{questions}"\n')
    refused = project.snakemake("--cores", "2", "results/report.html", check=False)
    assert "few.yaml: the fields are {questions}; task closed_book needs each of {question}" in (
        refused.stdout + refused.stderr + project.last_log()
    )
