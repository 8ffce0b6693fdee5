"""A trial that is asked in waves, as the statistics see it."""

from trial_parts import trial_parts

from workflow_scripts.comparisons.settings import WaveSettings


def design(settings, treatments=("treatment",), inputs=".", asked=(), planned=()):
    def parts(names):
        return trial_parts(inputs, inputs, {"control": names})

    return WaveSettings(
        stats=settings,
        treatments=list(treatments),
        temps=["0.0"],
        asked=parts(asked),
        planned=parts(planned),
        waves_planned=4,
    )
