"""Make results/report.html, the page that people open.

Where the results folder holds one experiment, it is that experiment's page; else it lists all of
them. Run as ``python -m workflow_scripts.report.index --results results --output
results/report.html``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..core.errors import command
from ..core.files import read_settings, read_text, write_text
from ..core.seals import SealWriter, add_seal_argument
from .shown import Shown
from .wording import STANDING_LABELS, Standing

PAGE, SUMMARY = "report.html", "report.json"

_LINK = re.compile(r'(<a [^>]*?href=")(?!#|data:)')


class _Comparison(Shown):
    task: str
    task_name: str = ""
    temp: str
    temperature: str | None = None
    prompt: str
    standing: Standing
    sentence: str
    n_items: int


class _Trial(Shown):
    label: str
    comparisons: list[_Comparison]


class _Analysis(Shown):
    question: str
    link: str


class Experiment(Shown):
    """What the list shows of one experiment: a part of its report.json."""

    experiment: str
    title: str | None
    note: str | None
    trials: list[_Trial]
    analyses: tuple[_Analysis, ...] = ()


def experiments(results: Path) -> list[Experiment]:
    """Return all experiments with a page in a results folder, sorted by name.

    Raises:
        UserError: the summary of one of them is damaged.
    """
    return [
        read_settings(path, Experiment)
        for path in sorted(results.glob(f"*/{SUMMARY}"))
        if path.with_name(PAGE).exists()
    ]


def index(results: Path) -> str:
    """Return the page for a results folder, whose links start there."""
    found = experiments(results)
    if len(found) == 1:
        name = found[0].experiment
        return _LINK.sub(rf"\g<1>{name}/", read_text(results / name / PAGE))
    from .page import render  # loads the statistics, which an experiment's own page is done with

    return render(
        "index.html.j2",
        styles=["style.css", "front.css"],
        scripts=[],
        title="Experiments",
        experiments=found,
        labels=STANDING_LABELS,
        page=PAGE,
    )


@command
def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Write the page over all experiments.")
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument("--output", type=Path, required=True, help="the page to write")
    add_seal_argument(parser)
    arguments = parser.parse_args()
    # Other experiments' pages are remade when they like, so only the page itself is sealed.
    seal = SealWriter(arguments.seal, [])
    write_text(arguments.output, index(arguments.results))
    seal.seal(arguments.output)


if __name__ == "__main__":
    main()
