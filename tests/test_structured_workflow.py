"""Structured outputs from data to page: fields won and lost, and what is asked again."""

from __future__ import annotations

import json

from answering import journaled
from browser import choose, one, opened, texts
from conftest import Project
from selenium import webdriver

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
CONFIG = """\
experiment: people
backend: local
local_engine: llama_cpp
local_model: resources/models/assay-demo.gguf
n_ctx: 1024
max_new_tokens: {structured: 8}
datasets:
  people: {format: jsonl, path: data/people.jsonl, task: structured}
arms:
  unasked: {system: control, json: off}
  elsewhere: {answers: data/elsewhere.jsonl}
prompt_sets:
  asking: {control: control, treatment: [unasked, elsewhere]}
"""
SCORES = "results/people/llama_cpp/assay-demo/default/asking/per_item_scores.csv"


def write(project: Project) -> None:
    (project.root / "data").mkdir()
    people = [("Ann <b>", 30), ("Bob", 41), ("Cem", 52)]
    items = [
        {"id": name[0], "question": "Who?", "context": f"{name} is {age} years old.",
         "schema": "person.schema.json", "expected": {"name": name, "age": age}}
        for name, age in people
    ]  # fmt: skip
    answers = [
        {"item_id": name[0], "response_text": f"```json\n{json.dumps({'name': name, 'age': 30})}"}
        for name, _ in people
    ]
    for path, rows in (("people.jsonl", items), ("elsewhere.jsonl", answers)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (project.root / "data" / path).write_text(text, encoding="utf-8")
    (project.root / "data/person.schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    (project.root / "config/people.yaml").write_text(CONFIG, encoding="utf-8")


def test_fields_reach_the_page_and_content_decides_what_is_asked(
    project: Project, browser: webdriver.Chrome
) -> None:
    write(project)
    command = ("--cores", "2", "--resources", "gpu=1", "--configfile", "config/people.yaml", "--")
    page_path = SCORES.replace("per_item_scores.csv", "report.html")
    project.snakemake(*command, page_path)
    asked = journaled(project.root)
    assert len(asked) == 6
    parts = sorted((project.root / "results/people/inputs/default").glob("*.jsonl"))
    described = ["JSON Schema" in path.read_text(encoding="utf-8") for path in parts]
    assert described == [True, False]

    page = opened(browser, project.root / page_path)
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert texts(page, ".fields-won tbody tr") == [
        "/age 3 0.0 33.3 +33.3 0 1 1.000 1.000",
        "/name 3 0.0 100.0 +100.0 0 3 0.250 0.500",
        "/age 3 0.0 0.0 0.0 0 0 1.000 1.000",
        "/name 3 0.0 0.0 0.0 0 0 1.000 1.000",
    ]
    choose(page, "treatment", "elsewhere")
    treatment = one(page, ".arms > section:last-child .fields").text.splitlines()
    assert treatment == [
        "Field Expected Given",
        '/name "Ann <b>" "Ann <b>" right',
        "/age 30 30 right",
    ]
    control = one(page, ".arms > section:first-child .fields").text
    assert "missing" in control

    # A rule by which answers are compared scores again and asks nothing.
    project.replace("data/people.jsonl", '"age": 41}}', '"age": 41}, "rules": {"/age": "ignore"}}')
    before = project.read(SCORES)
    project.snakemake(*command, SCORES)
    assert project.read(SCORES) != before
    assert journaled(project.root) == asked

    # The schema is a file beside the data, and decides as the data do.
    project.replace("data/person.schema.json", '"integer"', '"number"')
    assert project.plan(*command, SCORES)["items"] == 1
