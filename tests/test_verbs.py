"""Makefile and tasks.ps1: the same verbs, the same commands, one text each."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import tree_sitter_powershell
from conftest import REPOSITORY, Project, find_program
from tree_sitter import Language, Node, Parser

MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
SCRIPT = (REPOSITORY / "tasks.ps1").read_text(encoding="ascii")  # what PowerShell 5.1 reads
PARSER = Parser(Language(tree_sitter_powershell.language()))
VERBS = MAKEFILE.split(".PHONY: ")[1].splitlines()[0].split()

SET_UP = ("sh tests/install_programs.sh", "rm -rf .venv .snakemake", "sed -n")
"""Commands of the Makefile that tasks.ps1 has in functions of its own, or that need Debian."""


def nodes(node: Node, kind: str) -> Iterator[Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from nodes(child, kind)


def text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def words(literal: Node) -> str:
    """The value of a literal, in which nothing is expanded."""
    value = text(literal)
    assert value[0] == value[-1] == "'", value
    return value[1:-1]


def assigned(name: str) -> Node:
    """The value that the script gives to a variable at its top level."""
    (value,) = [
        each
        for each in nodes(PARSER.parse(SCRIPT.encode()).root_node, "assignment_expression")
        if text(each.children[0]) == f"${name}"
    ]
    return value


def table() -> dict[str, list[str]]:
    """The commands of each verb in tasks.ps1, as its parser understands them."""
    return {
        words(next(nodes(entry, "key_expression"))): [
            words(each) for each in nodes(entry.children[-1], "string_literal")
        ]
        for entry in nodes(assigned("Commands"), "hash_entry")
    }


def of_tasks(verb: str) -> list[str]:
    """What tasks.ps1 runs for a verb, as it lists it with -WhatIf."""
    return [
        line
        for each in table()[verb]
        for line in (of_tasks(each[5:]) if each.startswith("verb ") else [each])
    ]


def outside_of_make() -> dict[str, str]:
    """This process's environment without what make tells the programs that it starts."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    return {name: value for name, value in os.environ.items() if name not in inherited}


def of_make(verb: str) -> list[str]:
    """What make runs for a verb where everything is set up."""
    done = subprocess.run(
        [find_program("make"), "-n", "-o", ".venv/ready", "-o", ".venv/ready-for-tests", verb],
        cwd=REPOSITORY,
        env=outside_of_make(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    lines = re.sub(r"\\\n\s*", "", done.stdout).splitlines()
    return [
        line.replace(".venv/bin/", "")
        for line in lines
        if not line.startswith((*SET_UP, "make: Nothing to be done"))
    ]


def test_the_script_is_powershell() -> None:
    assert not PARSER.parse(SCRIPT.encode()).root_node.has_error
    # A parser that takes anything would prove nothing.
    for old, new in (("try {", "try"), ("@{", "@{ ="), ("if ($List -or", "if ($List -or)")):
        assert PARSER.parse(SCRIPT.replace(old, new, 1).encode()).root_node.has_error, old


def test_no_syntax_newer_than_windows_powershell_5() -> None:
    """The grammar is that of PowerShell 7; 5.1 has no ``&&``, ``||``, ``?:``, ``??`` and ``?.``."""
    code = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", SCRIPT)
    assert not re.findall(r"&&|\|\||\?\?|\?\.|\?\s.*\s:\s", code)
    assert not re.findall(r"-Parallel\b|\bclean\s*\{", code)


def test_both_have_the_same_verbs() -> None:
    assert sorted(table()) == sorted(VERBS)
    completed, gpus = re.findall(r"\[ValidateSet\((.*?)\)\]", SCRIPT, re.DOTALL)
    assert gpus == "'cpu', 'cuda', 'metal', 'vulkan'"
    assert re.findall(r"'([^']+)'", completed) == VERBS  # what the Tab key offers


@pytest.mark.not_on_windows("make is asked what it would run")
@pytest.mark.parametrize("verb", VERBS)
def test_both_run_the_same_commands(verb: str) -> None:
    assert [line.replace("\\", "/") for line in of_tasks(verb)] == of_make(verb)


@pytest.mark.not_on_windows("make is asked what it would run")
def test_both_compile_llama_cpp_for_the_same_gpus() -> None:
    flags = {
        words(next(nodes(entry, "key_expression"))): words(
            next(nodes(entry.children[-1], "string_literal"))
        )
        for entry in nodes(assigned("CmakeArgs"), "hash_entry")
    }
    assert flags == dict(re.findall(r"^CMAKE_(\w+) := (.+)$", MAKEFILE, re.MULTILINE))
    program = [find_program("make"), "-n", "-o", ".venv/ready", "llama-cpp"]
    done = subprocess.run(
        [*program, "GPU=cuba"],
        cwd=REPOSITORY,
        env=outside_of_make(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"GPU is {', '.join(sorted(flags)[:-1])} or vulkan" in done.stderr


def test_both_compile_for_a_gpu_alike() -> None:
    entries = nodes(assigned("CmakeArgs"), "hash_entry")
    of_script = {
        words(next(nodes(entry, "key_expression"))): words(
            next(nodes(entry.children[-1], "string_literal"))
        )
        for entry in entries
    }
    assert of_script == dict(re.findall(r"^CMAKE_(\w+) := (.+)$", MAKEFILE, re.MULTILINE))
    assert list(of_script) == ["cpu", "cuda", "metal", "vulkan"]


def test_every_verb_has_one_text_that_both_show() -> None:
    texts = re.findall(r"^## ([\w-]+): (.+)$", MAKEFILE, re.MULTILINE)
    assert [verb for verb, _ in texts] == VERBS  # in this order, too
    assert all(len(f"{verb}: {said}") < 100 for verb, said in texts)
    recipe = MAKEFILE.split("\nhelp:\n\t@")[1].splitlines()[0]
    assert recipe == "sed -n 's/^## //p' Makefile"
    assert "Makefile | Where-Object { $_ -like '## *' }" in SCRIPT


def test_words_survive_their_way_to_the_program() -> None:
    """tasks.ps1 splits at spaces and keeps what is in double quotes together, as a shell does."""
    (pattern,) = re.findall(r"\[regex\]::Matches\(\$Line, '([^']+)'\)", SCRIPT)
    lines = [line for verb in VERBS for line in of_tasks(verb)]
    assert any('"' in line for line in lines)
    for line in lines:
        if not re.search(r"[|>]", line):
            assert [each.strip('"') for each in re.findall(pattern, line)] == shlex.split(line)


def test_every_verb_that_needs_the_environment_sets_it_up() -> None:
    lists = {
        name: {words(each) for each in nodes(assigned(name), "string_literal")}
        for name in ("WithoutSetUp", "WithTestTools")
    }
    needs: dict[str, set[str]] = {}
    for verb, targets in re.findall(r"^([\w-]+):(.*)$", MAKEFILE, re.MULTILINE):
        needs[verb] = set(targets.split())

    def needed(verb: str) -> set[str]:
        below = needs.get(verb, set())
        return below.union(*map(needed, below))

    assert lists["WithoutSetUp"] == {
        verb for verb in VERBS if not needed(verb) & {".venv/ready", ".venv/ready-for-tests"}
    }
    assert lists["WithTestTools"] == {
        verb for verb in VERBS if ".venv/ready-for-tests" in needed(verb)
    }


def test_every_module_and_rule_that_a_verb_names_exists() -> None:
    rules = {
        name
        for path in (REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk"))
        for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for verb in VERBS:
        for line in of_tasks(verb):
            program, *arguments = shlex.split(line.replace("\\", "/"))
            if program == "snakemake" and "." not in arguments[-1] and "-n" not in arguments:
                assert arguments[-1] in {*rules, "plan", "jobs", "gate", "label"}
            if program == "python" and arguments[1].startswith(("workflow_scripts", "tools")):
                module = REPOSITORY / arguments[1].replace(".", "/")
                assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


def test_the_stages_of_a_run_are_targets(project: Project) -> None:
    """Each ends where it says, and the next one continues there."""
    limits = ("--cores", "2", "--config", "limit_items=4", "parts_per_dataset=1", "--")
    demo = project.root / "results/demo"
    after = {
        "data": "items/open_book.jsonl",
        "build": "inputs/default/open_book.control.t0.0.p000.jsonl",
        "eval": "llama_cpp/assay-demo/default/raw/open_book.control.t0.0.p000.jsonl",
        "parse": "llama_cpp/assay-demo/default/abstention/predictions.csv",
        "score": "llama_cpp/assay-demo/default/abstention/per_item_scores.csv",
        "stats": "llama_cpp/assay-demo/default/abstention/significance.json",
    }
    made: set[str] = set()
    for stage, file in after.items():
        assert not (demo / file).exists()
        project.snakemake(*limits, f"stage_{stage}")
        assert (demo / file).is_file(), stage
        rules = set(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", project.last_log()))
        assert rules
        assert not rules & made  # nothing is made twice
        made |= rules
    assert (demo / "comparisons.json").is_file()


def test_doctor_runs_before_anything_is_set_up() -> None:
    """With the Python that there is; make would set up the environment for the other verbs."""
    line = MAKEFILE.split("\ndoctor:\n\t@")[1].splitlines()[0]
    assert line == "$(or $(wildcard $(BIN)/python),$(PYTHON)) -m workflow_scripts.doctor"
    assert sys.version_info >= (3, 11)
