# The commands that make a trial's files, for its provenance: what Snakemake would run, not a copy.

import os
import shlex
from types import SimpleNamespace

from snakemake.iocontainers import Wildcards
from snakemake.utils import format as format_command

from workflow_scripts.report.provenance import Steps

# What parameters that depend on `threads` see: they are asked for a path that does not.
NO_JOB = SimpleNamespace(resources=SimpleNamespace(_cores=1))

OF_A_TRIAL = (
    "parse",
    "score",
    "unsupported_sensitivity",
    "registration",
    "stats",
    "costs",
    "local_costs",
    "cost_effectiveness",
    "audit",
    "verification",
    "trial_report",
)


def made_by(name, wildcards):
    """How a rule makes its files, as a `Step` of report/provenance.py."""
    maker = workflow.get_rule(name)
    found = Wildcards(fromdict=wildcards)
    inputs, *_ = maker.expand_input(found)
    outputs, _ = maker.expand_output(found)
    parameters, _ = maker.expand_params(found, inputs, outputs, NO_JOB)
    command = format_command(
        maker.shellcmd,
        input=inputs,
        output=outputs,
        params=parameters,
        log=maker.expand_log(found),
        wildcards=found,
    )
    paths = [str(each) for each in [*inputs, *parameters] if isinstance(each, str)]
    settings = [each for each in paths if each.startswith(f"results/{EXPERIMENT}/settings/")]
    return {
        "rule": name,
        "inputs": without_seals(each for each in inputs if str(each) not in settings),
        "settings": settings,
        "files": without_seals(outputs),
        "code": parameters.get("code"),
        "command": command,
    }


def without_seals(paths):
    """Seals say what a command did; they are no results."""
    return [str(each) for each in paths if Path(str(each)).parent.name != "seals"]


def steps(wildcards):
    """How each file of a trial is made, in the order data flows; of its answers one part."""
    asked_parts(wildcards)  # asks for the checkpoints that a trial's parts wait for
    budget(wildcards)
    trial = trial_of(wildcards)
    of_trial = dict(wildcards.items())
    first = {"task": plan.tasks(CONFIG)[0], "temp": trial.temps[0], "part": plan.parts(CONFIG)[0]}
    prompts = [arm.prompt for arm in trial.arms.values()]
    one = {**of_trial, **first, "prompt": prompts[0]}
    infer = ("submit", "poll", "collect") if trial.backend in BATCHED else ("infer",)
    found = [made_by("items", {**one, "task": each}) for each in plan.tasks(CONFIG)]
    found += [
        made_by("build", {**one, "task": task, "prompt": prompt})
        for task in plan.tasks(CONFIG)
        for prompt in prompts
    ]
    found += [made_by(name, one) for name in infer]
    declared = [name for name in OF_A_TRIAL if DECLARATION or name != "registration"]
    return found + [made_by(name, of_trial) for name in declared]


def options():
    """The options that a run with this config needs."""
    files = [os.path.relpath(each) for each in workflow.configfiles]
    overrides = workflow.config_settings.config
    found = ["--cores", "2"]
    if files and files != [str(Path("config/config.yaml"))]:
        found += ["--configfile", *(Path(each).as_posix() for each in files)]
    if overrides:
        found += ["--config", *(f"{key}={json.dumps(value)}" for key, value in overrides.items())]
    return shlex.join(found)


def steps_file(wildcards, threads):
    """Not tracked, like the settings of `infer`: what matters of it, its files tell."""
    return settings_file("provenance", Steps(options=options(), steps=steps(wildcards)))
