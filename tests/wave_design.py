"""A trial that is asked in waves, as the statistics see it."""

from workflow_scripts.answers.parts import TrialParts
from workflow_scripts.comparisons.settings import WaveSettings


def design(settings, treatments=("treatment",), inputs=".", asked=(), planned=()):
    def parts(names):
        return TrialParts(inputs_folder=inputs, raw_folder=inputs, arms={"control": list(names)})

    return WaveSettings(
        stats=settings,
        treatments=list(treatments),
        temps=["0.0"],
        asked=parts(asked),
        planned=parts(planned),
        waves_planned=4,
    )
