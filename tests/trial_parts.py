"""The parts of trials that the tests write themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow_scripts.answers.parts import ArmParts, TrialParts


def trial_parts(
    inputs_folder: Path | str, raw_folder: Path | str, arms: Mapping[str, Sequence[str]]
) -> TrialParts:
    """A trial whose arms, by condition the names of their files, all lie in the same folders."""
    return TrialParts(
        arms={
            condition: ArmParts(
                inputs_folder=Path(inputs_folder).as_posix(),
                raw_folder=Path(raw_folder).as_posix(),
                names=list(names),
            )
            for condition, names in arms.items()
        }
    )
