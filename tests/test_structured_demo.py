"""The ready experiment on structured outputs, as one command builds it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping

import pytest
from answering import journaled
from conftest import NewClone, Project

ARMS = "results/structured/llama_cpp/assay-structured/default/schema"
ITEMS = 40
COMMAND = ("--cores", "2", "--configfile", "config/structured.yaml")


@pytest.fixture(scope="module")
def built(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with the report on some of the items; its tests change it one after another."""
    made = new_clone(tmp_path_factory.mktemp("structured") / "clone")
    made.replace("config/structured.yaml", "parts_per_dataset: 2", f"limit_items: {ITEMS}")
    made.snakemake(*COMMAND, "results/report.html")
    return made


def rows(project: Project, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(project.read(f"{ARMS}/{name}"))))


def shares(project: Project, metric: str) -> Mapping[str, float]:
    """The mean of a metric by arm, in per cent."""
    scores = rows(project, "per_item_scores.csv")
    return {
        arm: sum(float(row[metric]) for row in scores if row["condition"] == arm) / ITEMS
        for arm in ("control", "enforced", "both")
    }


def digests(project: Project) -> list[str]:
    return [line["digest"] for line in journaled(project.root / "results/journal")]


def test_enforcing_makes_every_answer_valid_and_describing_makes_it_right(built: Project) -> None:
    valid, fields = shares(built, "schema_valid"), shares(built, "field_accuracy")
    scale = 100 if valid["both"] > 1 else 1
    assert valid["control"] <= 0.9 * scale
    assert valid["enforced"] == valid["both"] == scale
    assert fields["both"] >= fields["control"] + 0.05 * scale
    enforced = Counter(
        (row["condition"], row["schema_enforced"]) for row in rows(built, "answers.csv")
    )
    assert enforced == {
        ("control", ""): ITEMS, ("enforced", "exactly"): ITEMS, ("both", "exactly"): ITEMS
    }  # fmt: skip
    asked = digests(built)
    assert len(asked) == len(set(asked)) == 3 * ITEMS


def test_an_edited_rule_of_scoring_sends_nothing(built: Project) -> None:
    before, scores = digests(built), built.read(f"{ARMS}/per_item_scores.csv")
    built.replace("resources/demo/structured.jsonl", '"rules": {}', '"rules": {"/name": "ignore"}')
    built.snakemake(*COMMAND, f"{ARMS}/per_item_scores.csv")
    assert digests(built) == before
    assert built.read(f"{ARMS}/per_item_scores.csv") != scores


def test_an_edited_line_of_the_template_sends_again_what_has_it(built: Project) -> None:
    """The line of the schema is in the requests of two of the three arms."""
    before = set(digests(built))
    built.replace("prompts/records.txt", "JSON Schema:", "Schema:")
    built.snakemake(*COMMAND, f"{ARMS}/predictions.csv")
    asked = digests(built)
    assert len(asked) == len(set(asked)) == len(before) + 2 * ITEMS
