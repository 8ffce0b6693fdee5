"""Snakemake looks up the rule of a file once, and a function's signature, whatever the jobs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from small_workflow import Workflow

RULES = """
from snakemake.output_index import OutputIndex
from workflow_scripts.rules import fast_lookup

looked_up = []
match_producers = OutputIndex.match_producers

def counted(index, file):
    looked_up.append(str(file))
    return match_producers(index, file)

OutputIndex.match_producers = counted

from snakemake import common
get_function_params = common.get_function_params
asked = []

def noted(function):
    asked.append(function.__name__)
    return get_function_params(function)

common.get_function_params = noted
fast_lookup.install()

PARTS = [f"results/{number}.txt" for number in range(5)]

rule all:
    input: expand("results/read{n}.txt", n=range(3))

rule parts:
    input: "in.txt"
    output: PARTS
    shell: "python touch.py {output}"

def all_parts(wildcards):
    return PARTS

rule read:
    input: all_parts
    output: "results/read{n}.txt"
    shell: "{UPPER} {input}"

onstart:
    open("looked_up.txt", "w").write("\\n".join(looked_up))
    open("asked.txt", "w").write("\\n".join(asked))
"""


def test_each_file_is_looked_up_once(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, RULES)
    workflow.write("in.txt", "text")
    workflow.write("touch.py", "import sys; [open(name, 'w').close() for name in sys.argv[1:]]")
    assert workflow.jobs() == Counter(parts=1, read=3)
    looked_up = Counter(workflow.read("looked_up.txt").split())
    assert set(looked_up.values()) == {1}
    assert {f"results/{number}.txt" for number in range(5)} < looked_up.keys()
    assert workflow.read("asked.txt").split().count("all_parts") == 1
    assert workflow.is_done()
