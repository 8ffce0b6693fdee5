"""Prompts of ready-made jobs: files and the package's own texts, fields, braces, schemas."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import REPOSITORY

from workflow_scripts.core import job_prompts
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.job_prompts import FIELDS, read_job, read_template

FOLDER = REPOSITORY / "prompts" / "jobs"
OWN = Path(job_prompts.__file__).parent

REPLIES: dict[str, dict[str, Any]] = {
    "intent": {"primary": "drivers", "confidence": 0.75, "reasoning": "It asks why."},
    "adapt_plan": {
        "changes": [
            {"action": "remove", "step_id": "trend"},
            {"action": "modify", "step_id": "a", "description": "By shop", "params": {"by": "x"}},
            {"action": "add", "step_id": "b", "tool": "box", "description": "c", "params": {}},
        ],
        "rationale": "There is no date.",
    },
}


def values(name: str) -> dict[str, str]:
    return {field: f'<{field} "{{x}}" {{{{question}}}}>' for field in FIELDS[name]}


JOBS = ("intent", "adapt_plan")
"""Those with a schema of their own; a repair has that of the adaptation."""


@pytest.mark.parametrize("name", JOBS)
def test_the_packages_own_texts_are_those_that_ship(name: str, tmp_path: Path) -> None:
    for file in (f"{name}.md", f"{name}.schema.json"):
        assert (FOLDER / file).read_bytes() == (OWN / file).read_bytes()
    shipped, own = read_job(name, FOLDER), read_job(name, tmp_path)
    assert shipped.template.text == own.template.text
    assert shipped.template.digest == own.template.digest
    assert shipped.schema == own.schema
    assert own.template.source == f"the package's own {name}.md"
    assert own.schema_text.source == f"the package's own {name}.schema.json"
    assert {path.stem for path in OWN.glob("*.md")} == set(FIELDS)


@pytest.mark.parametrize("name", ["repair_plan", "rewrite"])
def test_texts_without_a_schema_ship_too(name: str, tmp_path: Path) -> None:
    shipped = read_template(name, FOLDER / f"{name}.md")
    own = read_template(name, tmp_path / f"{name}.md")
    assert shipped.text == own.text


@pytest.mark.parametrize("name", JOBS)
def test_template_schema_and_validator_agree(name: str) -> None:
    """Each key and label of the template is in the schema, in this order, and nothing else."""
    job = read_job(name, FOLDER)
    jsonschema.Draft202012Validator.check_schema(job.schema)
    validator = jsonschema.Draft202012Validator(job.schema)
    validator.validate(REPLIES[name])
    properties = dict(job.schema["properties"])
    keys = list(properties)
    if name == "intent":
        labels = re.findall(r"^- (\w+): ", job.template.text, re.MULTILINE)
        assert labels == properties["primary"]["enum"]
    else:
        change = properties["changes"]["items"]["properties"]
        keys += change
        actions = re.findall(r'^- "action": "(\w+)", "(\w+)" or "(\w+)"', job.template.text, re.M)
        assert actions == [tuple(change["action"]["enum"])]
    assert re.findall(r'^- "(\w+)": ', job.template.text, re.MULTILINE) == keys
    for example in re.findall(r"^\{.*\}$", job.fill(values(name)), re.MULTILINE):
        validator.validate(json.loads(example))
    for key in properties:
        assert not validator.is_valid({k: v for k, v in REPLIES[name].items() if k != key})
    assert not validator.is_valid(REPLIES[name] | {"more": 1})


def test_filling_in_leaves_the_braces_of_values_alone() -> None:
    given = values("adapt_plan")
    text = read_job("adapt_plan", FOLDER).fill(given)
    assert all(text.count(value) == 1 for value in given.values())
    assert '\n{"changes": [], "rationale": "' in text


@pytest.mark.parametrize("file", ["intent.md", "intent.schema.json"])
def test_an_edited_file_is_used_and_the_log_says_so(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edited = tmp_path / file
    shutil.copy(FOLDER / file, edited)
    edited.write_bytes(b"\xef\xbb\xbf" + edited.read_bytes().replace(b"the", b"this"))
    text = edited.read_text(encoding="utf-8-sig").strip()
    with caplog.at_level(logging.INFO):
        job = read_job("intent", tmp_path)
    used = job.template if file.endswith(".md") else job.schema_text
    assert used.text == text
    assert used.digest == hashlib.sha256(text.encode()).hexdigest()
    assert f"{edited.as_posix()}, SHA-256 {used.digest}" in caplog.text
    assert caplog.text.count("the package's own") == 1


GOOD = "{{}} {question}\n{profile} {{{schema}}}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{question} {profile}", r"fields are \{profile\}, \{question\}; this job needs each of"),
        (GOOD + "{profile}", "exactly once"),
        (GOOD + "{answer}", r"the fields are \{answer\}, \{profile\}"),
        (GOOD + '\n{"primary": 1}', "line 3: a single '{'; write '{{' for a literal brace"),
        (GOOD + "\n\n}", "line 4: a single '}'"),
        (GOOD + "{question.x}", "line 2: a single '{'"),
        ("none", "the fields are none"),
        ("", "the prompt is empty"),
    ],
)
def test_a_broken_template_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "intent.md").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"intent.md.*{complaint}"):
        read_job("intent", tmp_path)
    (tmp_path / "intent.md").write_text(GOOD, encoding="utf-8")
    filled = read_job("intent", tmp_path).fill({"question": "q", "profile": "p", "schema": "s"})
    assert filled == "{} q\np {s}"


@pytest.mark.parametrize(
    ("text", "complaint"), [("[]", "expected a JSON Schema"), ("{\n,}", "line 2: not valid JSON")]
)
def test_a_broken_schema_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "intent.schema.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"intent.schema.json.*{complaint}"):
        read_job("intent", tmp_path)
