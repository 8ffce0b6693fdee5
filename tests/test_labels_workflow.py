"""`snakemake label` in a finished run, and a run with the labels that come back."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from answering import journaled
from conftest import Project
from labelling import export
from small_workflow import jobs_in

TRIALS = ("abstention", "placebo")
FOLDER = "results/demo/llama_cpp/assay-demo/default"

LABELLING = """
labelling: {items: 8, seed: 3}
"""


def test_labels_from_the_page_to_the_report(demo_run: Project, tmp_path: Path) -> None:
    project = demo_run.copy_to(tmp_path / "copy")
    config = project.root / "config/config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + LABELLING, encoding="utf-8")
    answers = len(journaled(project.root / "results/journal"))

    first = project.snakemake("--cores", "1", "label")
    assert jobs_in(project.last_log()) == Counter(label=1, settings=1)
    for trial in TRIALS:
        assert f"{FOLDER}/{trial}/labels/page.html: 8 items" in first.stderr.replace("\\", "/")
    files = [project.root / FOLDER / trial / "labels" / "key.csv" for trial in TRIALS]
    keys = [path.read_bytes() for path in files]

    # Asked again, with another seed: what people may be labelling is kept.
    project.replace("config/config.yaml", "seed: 3", "seed: 4")
    again = project.snakemake("--cores", "1", "label")
    assert again.stderr.count("It is the sample that was drawn before") == 2
    assert [path.read_bytes() for path in files] == keys

    # The command that was printed, as it was printed.
    (command,) = re.findall(r"python (-m workflow_scripts\.labels\.collect .*)", first.stderr)
    n_read = [export(project.root / FOLDER / trial, project.root / "labels") for trial in TRIALS]
    assert all(8 <= n <= 16 for n in n_read)  # equal responses of an item are read once
    said = project.run(*command.split()).stdout
    (named,) = re.findall(r"^ +(labels: .*)", said, re.MULTILINE)
    config.write_text(f"{config.read_text(encoding='utf-8')}\n{named}\n", encoding="utf-8")

    project.snakemake("--cores", "2")
    done = jobs_in(project.last_log())
    assert done["verdicts"] == done["judgements"] == done["score"] == done["trial_report"] == 2
    assert not done.keys() & {"items", "build", "infer", "check_backend", "parse"}
    assert len(journaled(project.root / "results/journal")) == answers
    assert project.plan() == Counter()
    for trial in TRIALS:
        # Both arms of eight items, also of the control that the trials share.
        judged = json.loads(project.read(f"{FOLDER}/{trial}/judgements.json"))
        assert judged["labels"] == {"responses": 16, "undecided": 0, "stale": 0}
        first_screen = project.read(f"{FOLDER}/{trial}/report.html")
        counts = [int(n) for n in re.findall(r"people’s labels on (\d+) items", first_screen)]
        assert sum(counts) == 8
    assert [path.read_bytes() for path in files] == keys
