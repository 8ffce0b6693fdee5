"""Snakemake looks up the rule of a file once, however many jobs read it."""

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
fast_lookup.install()

PARTS = [f"results/{number}.txt" for number in range(5)]

rule all:
    input: expand("results/read{n}.txt", n=range(3))

rule parts:
    input: "in.txt"
    output: PARTS
    shell: "python touch.py {output}"

rule read:
    input: PARTS
    output: "results/read{n}.txt"
    shell: "{UPPER} {input}"

onstart:
    open("looked_up.txt", "w").write("\\n".join(looked_up))
"""


def test_each_file_is_looked_up_once(tmp_path: Path) -> None:
    workflow = Workflow.of(tmp_path, RULES)
    workflow.write("in.txt", "text")
    workflow.write("touch.py", "import sys; [open(name, 'w').close() for name in sys.argv[1:]]")
    assert workflow.jobs() == Counter(parts=1, read=3)
    looked_up = Counter(workflow.read("looked_up.txt").split())
    assert set(looked_up.values()) == {1}
    assert {f"results/{number}.txt" for number in range(5)} < looked_up.keys()
    assert workflow.is_done()
