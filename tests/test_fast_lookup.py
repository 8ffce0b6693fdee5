"""Snakemake finds the rule of a file, and a function's signature, once, whatever the jobs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from small_workflow import Workflow

RULES = """
from snakemake.output_index import OutputIndex
from workflow_scripts.rules import fast_lookup

from snakemake import common, dag
get_function_params = common.get_function_params
asked = []

def noted(function):
    asked.append(function.__name__)
    return get_function_params(function)

common.get_function_params = noted
fast_lookup.install()

class Compared(dag.OutputIndex):
    "Finds what Snakemake's own index finds."

    def __init__(self, rules):
        super().__init__(rules)
        self.own = OutputIndex(rules)
        producers = [len(self.match_producers(file)) for file in PROBES]
        assert producers == [1, 1, 1, 2, 1, 1, 1, 0, 0, 0], producers

    def match_producers(self, file):
        found = super().match_producers(file)
        assert found == self.own.match_producers(file), (file, found)
        assert super().match_producers(file) is found
        looked_up.append(str(file))
        return found

dag.OutputIndex = Compared
looked_up = []

PARTS = [f"results/{number}.txt" for number in range(5)]

PROBES = [
    *("results/4.txt", "results/read9.txt", "other/a/x.md", "other/a/b/x.md", "other/x-y.long.md"),
    *("constant", "a/b.end", "constant/", "other/x.txt", "results/5.txt"),
]

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

rule wide:
    output: "other/{a}/{b}.md"
    shell: "{UPPER} {output}"

rule narrow:
    output: "other/a/b/{b}.md", "other/x-{b}.long.md", "{b}.end"
    shell: "{UPPER} {output}"

rule constant:
    output: "constant"
    shell: "{UPPER} {output}"

onstart:
    open("looked_up.txt", "w").write("\\n".join(looked_up))
    open("asked.txt", "w").write("\\n".join(asked))
"""


def test_each_file_is_looked_up_once(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, RULES)
    workflow.write("in.txt", "text")
    workflow.write("touch.py", "import sys; [open(name, 'w').close() for name in sys.argv[1:]]")
    assert workflow.jobs() == Counter(parts=1, read=3)
    looked_up = set(workflow.read("looked_up.txt").split())
    assert {f"results/{number}.txt" for number in range(5)} < looked_up
    assert workflow.read("asked.txt").split().count("all_parts") == 1
    assert workflow.is_done()


NO_TABLES = """
import sys
from workflow_scripts.rules import fast_lookup

fast_lookup.install()

rule all:
    input: "out.txt"
    params: numbers=[1, 2]
    output: "all.txt"
    shell: "{UPPER} {input}"

rule first:
    output: "out.txt"
    params: text="a", numbers=lambda wildcards: {"a": 1}
    shell: "{UPPER}"

onsuccess:
    open("loaded.txt", "w").write(str("pandas" in sys.modules))
"""


def test_params_are_compared_without_pandas(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, NO_TABLES)
    assert workflow.jobs() == Counter(first=1)
    assert workflow.read("loaded.txt") == "False"
    assert workflow.is_done()
    workflow.write("Snakefile", workflow.read("Snakefile").replace("[1, 2]", "[1, 3]"))
    assert not workflow.is_done()
