"""Where the numbers come from: digests, commands, settings, and what must not be told."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser import one, texts
from report_files import INJECTIONS, significance_of, write_provenance
from selenium import webdriver
from trial_parts import trial_parts

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_settings
from workflow_scripts.core.records import Answer, Completion, Usage
from workflow_scripts.report import provenance
from workflow_scripts.report.overview import _about_servers
from workflow_scripts.report.provenance import Provenance, RecordedStep, Step
from workflow_scripts.report.rulegraph import rule_graph


def step(rule: str, inputs: list[str], files: list[str]) -> Step:
    return Step(rule=rule, inputs=inputs, settings=[], files=files, code=None, command=rule)


PARTS = trial_parts("results/in", "results/raw", {"control": ["a", "b"]})
STEPS = [
    step("items", ["data/own.jsonl"], ["results/items.jsonl"]),
    step("build", ["results/items.jsonl", "prompts/p.txt"], ["results/in/a"]),
    step("infer", ["results/in/a", "results/check.txt"], ["results/raw/a"]),
    step("parse", ["results/in/a", "results/raw/a", "results/raw/b"], ["results/t/p.csv"]),
    step("trial_report", ["results/t/p.csv"], ["results/t/report.html"]),
]


def test_every_file_behind_the_page_is_listed_once() -> None:
    assert provenance.trial_files(STEPS, PARTS) == {
        "data/own.jsonl": "source",
        "results/items.jsonl": "result",
        "prompts/p.txt": "source",
        "results/in/a": "request",
        "results/in/b": "request",
        "results/raw/a": "answer",
        "results/raw/b": "answer",
        "results/t/p.csv": "result",
    }


def test_digests_are_those_of_sha256sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"what is in it")
    (elsewhere := tmp_path.parent / f"{tmp_path.name}.txt").write_bytes(b"")
    found = list(
        provenance.digests({"a.txt": "source", str(elsewhere): "source", "gone.json": "source"})
    )
    assert [(each.path, each.size) for each in found] == [
        ("a.txt", 13),
        (f"…/{elsewhere.name}", 0),
    ]
    assert found[0].sha256 == hashlib.sha256(b"what is in it").hexdigest()
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        list(provenance.digests({"gone.json": "result"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--source a=/home/ada/b.jsonl 2> results/c", "--source a=…/b.jsonl 2> results/c"),
        ("--system 'D:\\Users\\Ada\\p.txt'", "--system '…/p.txt'"),
        ("python -m x --output results/a/b.json", "python -m x --output results/a/b.json"),
        ("../other/a.txt and https://example.com/v1/chat", "../other/a.txt and https://example.com/v1/chat"),
        ("url='https://a.org/b?key=secret' n=1", "url='https://a.org/b?…' n=1"),
    ],
)  # fmt: skip
def test_nobodys_folders_are_told(text: str, expected: str) -> None:
    assert provenance.shortened(text) == expected


def test_paths_inside_the_project_are_relative() -> None:
    assert provenance.shortened(f"--items {Path.cwd().as_posix()}/a/b.txt") == "--items a/b.txt"


def answer(number: int, digest: str | None, served_by: dict[str, str] | None = None) -> Answer:
    return Answer(
        request_digest=digest,
        custom_id=f"d|{number}|control|0.0|0|closed_book",
        dataset="d",
        item_id=str(number),
        condition="control",
        prompt="p",
        temp="0.0",
        sample_index=0,
        type="closed_book",
        response_text="x",
        finish_reason="stop",
        request_id="r",
        served_by=json.dumps(served_by) if served_by else "",
    )


def test_the_answers_times_come_from_the_journal(tmp_path: Path) -> None:
    digests = [f"{number:064x}" for number in range(3)]
    answers = [answer(1, digests[1]), answer(2, digests[2])]
    raw = tmp_path / "a.jsonl"
    raw.touch()
    journal = tmp_path / "journal"
    for name, answered, changed in (
        ("llama_cpp-1/1700000000000000000-1-x.jsonl", digests[2], 1700000100),
        ("llama_cpp-1/1600000000000000000-1-x.jsonl", digests[0], 1800000000),
    ):
        path = journal / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Completion(response_text="x", finish_reason="stop", request_id="r", usage=Usage())
        entry = {"digest": answered, "completion": text.model_dump(exclude_none=True)}
        path.write_text(json.dumps(entry, separators=(",", ":")) + "\n{torn", encoding="utf-8")
        os.utime(path, (changed, changed))
    found = provenance.answered(answers, [raw], journal)
    assert found is not None
    assert found.first == datetime.fromtimestamp(1700000000, UTC)
    assert found.last == datetime.fromtimestamp(1700000100, UTC)
    os.utime(raw, (1400000000, 1400000000))
    without = provenance.answered(answers, [raw], tmp_path / "nothing")
    assert without is not None
    assert without.first == without.last == datetime.fromtimestamp(1400000000, UTC)


def test_who_answered_is_counted_and_several_servers_are_told(tmp_path: Path) -> None:
    vllm = {"server": "vllm", "fingerprint": "a", "context_length": "64"}
    told = [None, vllm, vllm, {**vllm, "context_length": "128"}, {**vllm, "fingerprint": "b"}]
    found = provenance.servers(
        (answer(number, f"r{number}", each) for number, each in enumerate(told)),
        {"control": "b/m"},
    )
    assert [(server.served_by, server.answers) for server in found] == [
        ({}, 1),
        (told[3], 1),
        (vllm, 2),
        (told[4], 1),
    ]
    shown = write_provenance(tmp_path)
    for servers, codes in (
        (found, ["several_servers", "unknown_servers"]),
        (found[1:], ["several_servers"]),
        (found[:3], ["unknown_servers"]),
        (found[1:3], []),
        (found[:1], []),
        ([], []),
        ([found[2], found[3].model_copy(update={"asked_of": "b/other"})], []),
    ):
        remarks = list(_about_servers(shown.model_copy(update={"servers": servers})))
        assert [each.code for each in remarks] == codes


def test_the_commit_says_whether_there_are_changes(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "a.txt"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    clean = provenance.commit(tmp_path)
    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean.id)
    assert not clean.changed
    (tmp_path / "new.txt").write_text("not tracked", encoding="utf-8")
    assert provenance.commit(tmp_path) == clean
    (tmp_path / "a.txt").write_text("two", encoding="utf-8")
    changed = provenance.commit(tmp_path)
    assert changed is not None
    assert changed.changed


def test_the_machine_is_described_without_its_name() -> None:
    found = provenance.machine()
    assert found.cpu
    assert found.memory_bytes > 2**28
    assert platform.node() not in found.model_dump_json()


def recorded(rule: str, *after: str) -> RecordedStep:
    return RecordedStep(
        rule=rule, after=list(after), files=[f"{rule}.json"], code=None, command="", settings={}
    )


def test_the_rule_graph_has_each_direct_edge_once() -> None:
    steps = [
        recorded("a"),
        recorded("b", "a"),
        recorded("c", "a", "b"),
        recorded("d", "a", "b", "c"),
        recorded("e", "a"),
        recorded("f", "d", "e", "a"),
    ]
    root = ElementTree.fromstring(rule_graph(steps))  # noqa: S314 - our own text
    assert [each.text for each in root.iter("tspan")][::2] == ["a", "b", "c", "d", "e", "f"]
    boxes = {
        box.get("x"): box.get("y") for box in root.iter("rect")
    }  # each rule below what it follows
    assert len(list(root.iter("rect"))) == 6
    assert len(boxes) > 1
    # a-b, b-c, c-d, a-e, d-f, e-f: what an edge of two steps says already is not drawn
    assert len(list(root.iter("path"))) == 6


def test_a_rule_is_below_what_it_follows_in_whatever_order_they_come() -> None:
    """A trial's second search may need a rule that the first one does not."""
    steps = [
        recorded("chunk"),
        recorded("words", "chunk"),
        recorded("retrieve", "words", "vectors"),
        recorded("vectors", "chunk"),
    ]
    root = ElementTree.fromstring(rule_graph(steps))  # noqa: S314 - our own text
    rows = [float(box.get("y", "")) for box in root.iter("rect")]
    chunk, words, retrieve, vectors = rows
    assert chunk < words == vectors < retrieve


def test_a_rule_graph_escapes_its_texts() -> None:
    root = ElementTree.fromstring(rule_graph([recorded(text) for text in INJECTIONS[:8]]))  # noqa: S314
    assert {each.tag for each in root.iter()} == {"svg", "rect", "text", "tspan"}


# report.json and the page


@pytest.fixture(scope="module")
def report(trial_folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (trial_folder / "report.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_report_json_has_what_the_page_says(
    page: webdriver.Chrome, report: dict[str, Any], trial_folder: Path
) -> None:
    assert report["schema_version"] == 2
    assert report["title"] == one(page, "h1").text
    assert [each["sentence"] for each in report["verdicts"]] == texts(
        page, "#verdict .verdict p:not(.small)"
    )
    listed = texts(page, ".warnings li") + texts(page, ".notes li")
    assert [each["message"] for each in report["warnings"]] == listed
    facts = dict(zip(texts(page, ".facts dt"), texts(page, ".facts dd"), strict=True))
    assert report["facts"].items() <= facts.items()
    assert facts["Answered"] == "2026-11-20 to 2026-11-21"
    assert facts["Cost"] == "US$ 0.0369"
    ours = report["significance"]["results"]["treatment"]["0.0"]
    for task, result in significance_of(trial_folder).items():
        assert ours[task]["metrics"] == result["metrics"]
    assert Provenance.model_validate(report["provenance"]) == read_settings(
        trial_folder / "provenance.json", Provenance
    )


def test_the_page_tells_digests_commands_and_seeds(
    page: webdriver.Chrome, report: dict[str, Any]
) -> None:
    card = one(page, "#provenance")
    told = str(card.get_property("textContent"))
    for file in report["provenance"]["files"]:
        assert file["sha256"] in told
        assert file["path"] in told
    for each in report["provenance"]["steps"]:
        assert each["command"] in told
        assert f"snakemake {each['files'][0]} {report['provenance']['options']}" in told
    assert "c0ffee" in told
    assert "+ changes" in told
    assert re.search(r"Seed of sampled answers\s*7", told)
    assert re.search(r"Seed of the statistics\s*8", told)


def test_requests_are_counted_by_what_became_of_them(
    page: webdriver.Chrome, report: dict[str, Any]
) -> None:
    shown = {
        (row["task"], row["condition"]): sum(row["requests"].values()) for row in report["outcomes"]
    }
    assert set(shown.values()) == {80}
    for row in report["outcomes"]:
        for outcome, n in row["requests"].items():
            words = f"{n} {outcome.replace('_', ' ')}"
            assert any(text.endswith(words) for text in texts(page, f"#outcomes .{outcome}"))
