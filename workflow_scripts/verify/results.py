"""Verify a whole results folder, also one that somebody sent: no config and no journal is needed.

Run as ``python -m workflow_scripts.verify.results --results results``. The exit status is 1 if
something is wrong or nothing is there.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from ..answers.parts import ArmParts, ParseSettings, TrialParts
from ..comparisons.settings import RetestSettings
from ..core.errors import UserError, command
from ..core.files import read_json
from ..core.logs import log_to
from ..scoring.verdicts import VerdictsSettings
from .analysis import analysis_folders, verify_analysis
from .files import check_files
from .problem import Problem, raise_problems
from .trial import TrialCheck, Verification, verify_trial

log = logging.getLogger(__name__)

_PAGES = ("report.html", "report.json")


def trial_folders(results: Path) -> list[Path]:
    """Return the folders of all trials that have answers in a table."""
    return sorted(path.parent for path in results.glob("*/*/*/*/*/predictions.csv"))


def parts_of(folder: Path) -> TrialParts | None:
    """Return where a trial's requests and answers lie; ``None`` if its provenance is missing.

    Raises:
        UserError: provenance.json is damaged.
    """
    path = folder / "provenance.json"
    if not path.is_file():
        return None
    try:
        (settings,) = _settings(path, "parse")
        parts = ParseSettings.model_validate(settings).parts
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: it does not say which answers belong to the trial. Delete it and run again: "
            "it is made again, and nothing is sent."
        ) from error
    return TrialParts(
        arms={condition: _moved(folder, arm) for condition, arm in parts.arms.items()}
    )


def judged_parts(folder: Path) -> list[ArmParts]:
    """Return where the requests and replies of a trial's judges lie, as its provenance says."""
    path = folder / "provenance.json"
    found = _settings(path, "verdicts") if path.is_file() else []
    return [
        _moved(folder, judge.parts)
        for each in found
        for judge in VerdictsSettings.model_validate(each).asked.values()
    ]


def retested_parts(folder: Path) -> list[ArmParts]:
    """Return where the requests that were sent again lie, as the trial's provenance says."""
    path = folder / "provenance.json"
    found = _settings(path, "retest") if path.is_file() else []
    return [
        _moved(folder, arm.again)
        for each in found
        for arm in RetestSettings.model_validate(each).arms.values()
    ]


def _settings(provenance: Path, rule: str) -> list[Any]:
    """The settings that a trial's provenance has of a rule."""
    return [
        each
        for step in read_json(provenance)["steps"]
        if step["rule"] == rule
        for each in step["settings"].values()
    ]


def _moved(folder: Path, arm: ArmParts) -> ArmParts:
    """Parts where they lie in a results folder that may have been moved."""
    folders = {
        "inputs_folder": _found_in(folder, arm.inputs_folder),
        "raw_folder": _found_in(folder, arm.raw_folder),
    }
    return arm.model_copy(update=folders)


def _found_in(trial: Path, path: str) -> str:
    """Where a path of a trial's settings lies, in a results folder that may have been moved."""
    experiment = trial.parents[3]
    return experiment.joinpath(*PurePosixPath(path).parts[2:]).as_posix()


def verify_folder(folder: Path, journal: Path) -> TrialCheck:
    """Verify a trial with its pages. A file that cannot be read is a problem like any other."""
    try:
        further = [*judged_parts(folder), *retested_parts(folder)]
        return verify_trial(folder, parts_of(folder), journal, _PAGES, further)
    except UserError as error:
        return TrialCheck(Verification(), [Problem(folder, str(error))])


@command
def main() -> None:
    """Verify all trials and analyses of a results folder, and say of each what was found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the folder")
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    arguments = parser.parse_args()
    results: Path = arguments.results
    log_to(arguments.log)
    trials, analyses = trial_folders(results), analysis_folders(results)
    if not trials and not analyses:
        raise UserError(f"{results}: there is no trial with answers and no analysis in this folder")
    problems: list[Problem] = []
    journal = results / "journal"
    for folder in (*trials, *analyses):
        verified = verify_analysis if folder in analyses else verify_folder
        found, wrong = verified(folder, journal)
        log.info("%s: %s", folder, "not as it was made" if wrong else found.sentence)
        for gap in found.unchecked:
            log.info("  not checked: %s", gap)
        problems += [each for each in wrong if each not in problems]
    front = [path for name in _PAGES for path in sorted(results.glob(f"*/{name}"))]
    front += [path for path in [results / _PAGES[0]] if path.is_file()]
    named = {each.path for each in problems}
    problems += [each for each in check_files(front).problems if each.path not in named]
    raise_problems(problems)


if __name__ == "__main__":
    main()
