"""Edited results are refused with file and line, by the page and by `verify`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from answering import journaled
from conftest import REPOSITORY, NewClone, Project, clean_environment

from workflow_scripts.core.seals import SealWriter
from workflow_scripts.verify.files import check_files

TRIAL = "results/small/llama_cpp/assay-demo/default/abstention"
RAW = "results/small/llama_cpp/assay-demo/default/raw/closed_book.control.t0.0.p000.jsonl"
PAGE = f"{TRIAL}/report.html"
SAYS = "Verified: 16 answers match the journal; tables and statistics are as they were computed."
CONFIG = {
    "experiment": "small",
    "backend": "local",
    "local_engine": "llama_cpp",
    "local_model": "resources/models/assay-demo.gguf",
    "n_threads": 1,
    "datasets": {
        "demo_closed": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "limit_items": 8,
    "max_failure_share": 0.5,
    "prompt_sets": {"abstention": {"control": "control", "treatment": "treatment"}},
    "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
}


@pytest.fixture(scope="module")
def finished(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of 8 items under two prompts."""
    project = new_clone(tmp_path_factory.mktemp("finished"))
    (project.root / "config/config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    project.snakemake("--cores", "2", "results/report.html")
    return project


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished run, to be changed."""
    return finished.copy_to(tmp_path / "copy")


def verify(project: Project) -> subprocess.CompletedProcess[str]:
    return project.run("-m", "workflow_scripts.verify.results", "--results", "results", check=False)


def lines_of(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(stream)


def journal_of(project: Project) -> tuple[str, Path]:
    """The journal file with the most answers: its path in the project, and on this machine."""
    path = max((project.root / "results/journal").glob("*/*.jsonl"), key=lambda p: p.stat().st_size)
    return path.relative_to(project.root).as_posix(), path


def edit_line(path: Path, number: int, change: Callable[[str], str]) -> None:
    """Change one line of a file, its end apart."""
    lines = lines_of(path)
    text = lines[number - 1].rstrip("\r\n")
    changed = change(text)
    assert changed != text
    lines[number - 1] = changed + lines[number - 1][len(text) :]
    path.write_text("".join(lines), encoding="utf-8", newline="")


def edit_json_line(path: Path, number: int, change: Callable[[dict[str, Any]], None]) -> None:
    def changed(text: str) -> str:
        record = json.loads(text)
        change(record)
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    edit_line(path, number, changed)


def cells(text: str, column: int, value: str) -> str:
    """A row of CSV without quotes with another value in one column."""
    found = text.split(",")
    found[column] = value
    return ",".join(found)


# Each edit returns the file and line that are to be named.


def response_in_a_raw_part(project: Project) -> tuple[str, int]:
    edit_json_line(project.root / RAW, 3, lambda line: line.update(response_text="Atlantis"))
    return RAW, 3


def answer_made_an_error(project: Project) -> tuple[str, int]:
    def fail(line: dict[str, Any]) -> None:
        for name in ("answer_checksum", "response_text", "finish_reason", "request_id", "usage"):
            del line[name]
        line["error"] = {"type": "timeout", "message": "no answer"}
        line.pop("latency_s")

    edit_json_line(project.root / RAW, 1, fail)
    return RAW, 1


def answers_swapped_in_a_raw_part(project: Project) -> tuple[str, int]:
    """Each with its own checksum, under the digest of the other's request."""
    first, second = (json.loads(line) for line in lines_of(project.root / RAW)[1:3])
    answer = ("answer_checksum", "response_text", "finish_reason", "request_id", "usage")
    for number, other in ((2, second), (3, first)):
        taken = {name: other[name] for name in (*answer, "latency_s")}
        edit_json_line(project.root / RAW, number, lambda line, taken=taken: line.update(taken))
    return RAW, 2


def whole_answers_swapped_in_a_raw_part(project: Project) -> tuple[str, int]:
    """With digest and checksum, so that each is intact in itself: under another's item."""
    first, second = (json.loads(line) for line in lines_of(project.root / RAW)[1:3])
    names = set(first) - {"custom_id", "item_id"}
    for number, other in ((2, second), (3, first)):
        taken = {name: other[name] for name in names}
        edit_json_line(project.root / RAW, number, lambda line, taken=taken: line.update(taken))
    return "results/small/inputs/default/closed_book.control.t0.0.p000.jsonl", 2


def item_in_a_raw_part(project: Project) -> tuple[str, int]:
    edit_json_line(project.root / RAW, 4, lambda line: line.update(item_id="another"))
    return RAW, 4


def response_in_the_journal(project: Project) -> tuple[str, int]:
    name, path = journal_of(project)
    edit_json_line(path, 3, lambda line: line["completion"].update(response_text="Atlantis"))
    return name, 3


def answers_swapped_in_the_journal(project: Project) -> tuple[str, int]:
    name, path = journal_of(project)
    first, second = (json.loads(line) for line in lines_of(path)[2:4])
    for number, other in ((3, second), (4, first)):
        digest = other["digest"]
        edit_json_line(path, number, lambda line, digest=digest: line.update(digest=digest))
    return name, 3


def tokens_in_the_answers(project: Project) -> tuple[str, int]:
    name = f"{TRIAL}/answers.csv"
    edit_line(project.root / name, 5, lambda text: cells(text, 12, "9999"))
    return name, 5


def response_in_the_predictions(project: Project) -> tuple[str, int]:
    name = f"{TRIAL}/predictions.csv"
    edit_line(project.root / name, 5, lambda text: cells(text, 9, "Atlantis"))
    return name, 5


def condition_in_the_predictions(project: Project) -> tuple[str, int]:
    """It contradicts the row's custom_id."""
    name = f"{TRIAL}/predictions.csv"
    edit_line(project.root / name, 4, lambda text: cells(text, 3, "treatment"))
    return name, 4


def em_in_the_scores(project: Project) -> tuple[str, int]:
    name = f"{TRIAL}/per_item_scores.csv"
    edit_line(project.root / name, 2, lambda text: cells(text, 4, "0.5"))
    return name, 2


def number_in_the_statistics(project: Project) -> tuple[str, int]:
    name = f"{TRIAL}/significance.json"
    text = lines_of(project.root / name)
    number = next(n for n, line in enumerate(text, start=1) if '"n_items"' in line)
    edit_line(project.root / name, number, lambda line: line.replace(": 8", ": 9"))
    return name, number


def gold_answer_in_the_items(project: Project) -> tuple[str, int]:
    name = "results/small/items/closed_book.jsonl"
    edit_json_line(project.root / name, 6, lambda line: line.update(answers=["Atlantis"]))
    return name, 6


def question_in_the_questions(project: Project) -> tuple[str, int]:
    name = "results/small/questions/closed_book.jsonl"
    edit_json_line(project.root / name, 7, lambda line: line.update(question="Where is Atlantis?"))
    return name, 7


Edit = Callable[[Project], tuple[str, int]]

ONE_OF_EACH_FILE: list[tuple[Edit, tuple[str, ...]]] = [
    (response_in_a_raw_part, ()),
    (answers_swapped_in_the_journal, ("--forcerun", "verification")),
    (tokens_in_the_answers, ()),
    (condition_in_the_predictions, ()),
    (em_in_the_scores, ()),
    (number_in_the_statistics, ()),
    (gold_answer_in_the_items, ()),
    (question_in_the_questions, ()),
]
"""Each with the options that make Snakemake look (it does not watch the journal)."""


@pytest.mark.parametrize(
    "edit",
    [
        *(edit for edit, _ in ONE_OF_EACH_FILE),
        answer_made_an_error,
        whole_answers_swapped_in_a_raw_part,
        answers_swapped_in_a_raw_part,
        response_in_the_journal,
        response_in_the_predictions,
    ],
)
def test_an_edit_is_found_with_file_and_line(copy: Project, edit: Edit) -> None:
    name, line = edit(copy)
    alone = verify(copy)
    assert alone.returncode == 1
    assert f"{Path(name)}, line {line}: " in alone.stderr


@pytest.mark.parametrize(("edit", "options"), ONE_OF_EACH_FILE)
def test_no_page_is_written_from_an_edited_file(
    copy: Project, edit: Edit, options: tuple[str, ...]
) -> None:
    pages = [copy.root / PAGE, copy.root / "results/report.html"]
    before = [(page.read_bytes(), page.stat().st_mtime_ns) for page in pages]
    name, line = edit(copy)
    run = copy.snakemake("--cores", "2", *options, "--", "results/report.html", check=False)
    assert run.returncode != 0
    assert f"{Path(name)}, line {line}: " in run.stderr
    assert [(page.read_bytes(), page.stat().st_mtime_ns) for page in pages] == before


def test_a_raw_line_under_another_item_is_named(copy: Project) -> None:
    name, line = item_in_a_raw_part(copy)
    alone = verify(copy)
    assert alone.returncode == 1
    assert f"{Path(name)}, line {line}: item_id is 'another', but the request has" in alone.stderr


def test_a_clean_run_says_verified(finished: Project) -> None:
    alone = verify(finished)
    assert alone.returncode == 0
    assert f"{Path(TRIAL)}: {SAYS}" in alone.stderr
    assert "not checked" not in alone.stderr
    assert SAYS in finished.read(PAGE)
    assert SAYS in finished.read("results/report.html")
    shown = json.loads(finished.read(f"{TRIAL}/report.json"))
    assert shown["verification"] == json.loads(finished.read(f"{TRIAL}/verification.json"))
    assert shown["facts"]["Verified"] == "answers and files"


def test_the_rule_verifies_too(copy: Project) -> None:
    assert SAYS in copy.snakemake("--cores", "1", "verify").stderr
    em_in_the_scores(copy)
    found = copy.snakemake("--cores", "1", "verify", check=False)
    assert found.returncode == 1
    assert f"{Path(TRIAL) / 'per_item_scores.csv'}, line 2: " in found.stderr


def test_verifying_again_writes_the_same_bytes(copy: Project) -> None:
    before = copy.read(f"{TRIAL}/verification.json")
    copy.snakemake("--cores", "1", "--forcerun", "verification", "--", f"{TRIAL}/verification.json")
    assert copy.read(f"{TRIAL}/verification.json") == before


def test_the_remedy_works_and_sends_nothing(copy: Project) -> None:
    answers = journaled(copy.root / "results/journal")
    names = ("answers.csv", "predictions.csv", "costs.json")
    tables = {name: copy.read(f"{TRIAL}/{name}") for name in names}
    for edit in (response_in_a_raw_part, response_in_the_predictions, tokens_in_the_answers):
        edit(copy)
    refused = copy.snakemake("--cores", "2", "results/report.html", check=False)
    assert f"{Path(RAW)}, line 3: " in refused.stderr
    (copy.root / RAW).unlink()
    copy.snakemake("--cores", "2", "results/report.html")
    assert SAYS in copy.read(PAGE)
    assert {name: copy.read(f"{TRIAL}/{name}") for name in tables} == tables
    assert journaled(copy.root / "results/journal") == answers
    assert verify(copy).returncode == 0


def test_an_edit_with_an_old_date_leaves_the_verified_page(copy: Project) -> None:
    page = copy.read(PAGE)
    name, line = number_in_the_statistics(copy)
    os.utime(copy.root / name, (0, 0))
    assert f"{Path(name)}, line {line}: " in verify(copy).stderr
    copy.snakemake("--cores", "2", "results/report.html", check=False)
    assert copy.read(PAGE) == page
    # No page is written for another reason either.
    run = copy.snakemake("--cores", "2", "--config", "title=Another", "--", PAGE, check=False)
    assert run.returncode != 0
    assert f"{Path(name)}, line {line}: " in run.stderr
    assert copy.read(PAGE) == page


def test_of_two_seals_for_one_file_the_newer_counts(tmp_path: Path) -> None:
    """An earlier version made the file by another command, whose seal is still there."""
    file = tmp_path / "costs.json"
    for name, text, time in (("z_earlier", "old\n", 1_000), ("costs", "new\n", 2_000)):
        file.write_text(text, encoding="utf-8")
        SealWriter(tmp_path / f"seals/{name}.json", []).seal(file)
        os.utime(tmp_path / f"seals/{name}.json", (time, time))
    assert check_files([file]).problems == []
    file.write_text("old\n", encoding="utf-8")
    (problem,) = check_files([file]).problems
    assert "costs.json, line 1: this file was changed after it was made" in problem.text


def test_an_edited_page_is_found(copy: Project) -> None:
    edit_line(copy.root / PAGE, 2, lambda text: f"{text} ")
    edit_line(copy.root / "results/report.html", 3, lambda text: f"{text} ")
    edit_line(copy.root / "results/small/report.json", 4, lambda text: f"{text} ")
    found = verify(copy).stderr
    assert f"{Path(PAGE)}, line 2: " in found
    assert f"{Path('results/report.html')}, line 3: " in found
    assert f"{Path('results/small/report.json')}, line 4: " in found


def test_a_file_that_was_put_back_is_not_what_the_next_was_made_from(copy: Project) -> None:
    """The scores are of an edited table, and the table is the right one again."""
    path = copy.root / TRIAL / "predictions.csv"
    content = path.read_bytes()
    response_in_the_predictions(copy)
    copy.snakemake("--cores", "2", f"{TRIAL}/per_item_scores.csv")
    path.write_bytes(content)
    found = verify(copy)
    assert found.returncode == 1
    assert "was made from another predictions.csv than the one that lies there now" in found.stderr


def test_a_folder_that_somebody_sent_needs_no_journal_and_no_config(
    finished: Project, tmp_path: Path
) -> None:
    sent = tmp_path / "sent" / "their results"
    shutil.copytree(finished.root / "results", sent)
    shutil.rmtree(sent / "journal")
    found = verify_folder(sent)
    assert found.returncode == 0
    assert "Verified: 16 answers match the recorded checksums; tables and" in found.stderr
    assert "not checked: the answers against the journal: it is not here" in found.stderr
    path = sent / Path(RAW).relative_to("results")
    edit_json_line(path, 2, lambda line: line.update(response_text="Atlantis"))
    found = verify_folder(sent)
    assert found.returncode == 1
    assert f"{path}, line 2: " in found.stderr


def test_an_empty_folder_is_not_verified(tmp_path: Path) -> None:
    found = verify_folder(tmp_path)
    assert found.returncode == 1
    assert "there is no trial with answers and no analysis in this folder" in found.stderr


def verify_folder(folder: Path) -> subprocess.CompletedProcess[str]:
    """Verify a folder with the code of this checkout, from elsewhere."""
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.verify.results", "--results", str(folder)],
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def of_an_older_version(results: Path) -> None:
    """Take out of a results folder what version 0.1 did not write."""
    for path in results.rglob("seals"):
        shutil.rmtree(path)
    for path in [*results.rglob("verification.json"), *results.rglob("answers.csv")]:
        path.unlink()
    for path in results.glob("*/*/*/*/raw/*.jsonl"):
        for number in range(1, len(lines_of(path)) + 1):
            edit_json_line(path, number, without("request_digest", "answer_checksum"))
    for path in results.glob("journal/*/*.jsonl"):
        answers = (json.loads(line) for line in lines_of(path)[1:])
        kept = [{name: each[name] for name in ("digest", "completion")} for each in answers]
        text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in kept)
        path.write_text(text, encoding="utf-8", newline="")


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        for name in names:
            del record[name]

    return change


def test_a_folder_of_an_older_version_says_what_it_cannot_check(copy: Project) -> None:
    of_an_older_version(copy.root / "results")
    found = verify(copy)
    assert found.returncode == 0
    assert "Not verified." in found.stderr
    assert "that a version before 0.2 recorded, without checksums: 16" in found.stderr
    assert "that a version before 0.2 made: audit.json, " in found.stderr
    name, line = condition_in_the_predictions(copy)
    found = verify(copy)
    assert found.returncode == 1
    assert f"{Path(name)}, line {line}: the raw parts give another row for " in found.stderr


def test_a_folder_of_an_older_version_is_taken_over_without_a_request(copy: Project) -> None:
    of_an_older_version(copy.root / "results")
    before = journaled(copy.root / "results/journal")
    copy.snakemake("--cores", "2")
    assert journaled(copy.root / "results/journal") == before
    shown = json.loads(copy.read(f"{TRIAL}/report.json"))
    assert shown["facts"]["Verified"] == "in part"
    assert [each["code"] for each in shown["warnings"]].count("not_verified") == 1
