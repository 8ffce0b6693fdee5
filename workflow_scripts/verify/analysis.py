"""Verify one analysis, from the journal to its page."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from .answers import AnswerCheck
from .files import check_files
from .problem import Problem
from .trial import TrialCheck, Verification, gaps_of_asked

_PAGE = "report.html"


def analysis_folders(results: Path) -> list[Path]:
    """Return the folders of all analyses that have a page."""
    return sorted(path.parent for path in results.glob(f"*/analyses/*/{_PAGE}"))


def verify_analysis(folder: Path, journal: Path) -> TrialCheck:
    """Verify the files of an analysis, and the answers that they come from.

    A file that cannot be read is a problem like any other.

    Args:
        folder: the analysis'.
        journal: the folder of all journals; it need not exist.
    """
    try:
        return _verified(folder, journal)
    except UserError as error:
        return TrialCheck(Verification(), [Problem(folder, str(error))])


def _verified(folder: Path, journal: Path) -> TrialCheck:
    made = [each for each in folder.iterdir() if each.is_file()]
    files = check_files(sorted(made + list(folder.glob("charts/*.svg"))))
    check = AnswerCheck(journal)
    for requests in files.sealed:
        # Seals lead from the page to its raw parts, and from each of these to its requests.
        for raw in files.sealed if requests.parent.parent.name == "inputs" else ():
            if raw.parent.name == "raw" and raw.name == requests.name:
                check.add_part(requests, raw)
    counts = check.compare()
    named = {each.path for each in check.problems}
    problems = check.problems + [each for each in files.problems if each.path not in named]
    unchecked = gaps_of_asked(counts, journal)
    if not files.sealed:
        unchecked.append("whether files were changed that a version before 0.2 made")
    return TrialCheck(
        Verification(answers=counts, files=len(files.sealed), unchecked=unchecked), problems
    )
