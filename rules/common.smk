"""What all rules share: the checked config, its trials, and each job's settings file."""

import re
import sys
import time
from pathlib import Path

from workflow_scripts.code_digest import code_digest
from workflow_scripts.config import stages
from workflow_scripts.config import trials as plan
from workflow_scripts.config.load import load_config
from workflow_scripts.errors import UserError
from workflow_scripts.infer.failures import failed_attempts
from workflow_scripts.stats import registration

try:
    CONFIG = load_config(
        config,
        files=[Path(each) for each in workflow.configfiles],
        overrides=workflow.config_settings.config,
    )
    TRIALS = {trial.folder: trial for trial in plan.trials(CONFIG)}
    EXPERIMENT = CONFIG.experiment
    # The first file that a plan writes: a results folder that cannot be written is told here.
    FRONT_SETTINGS = stages.settings_file(
        f"results/{EXPERIMENT}/settings", "front", stages.front(CONFIG)
    )
    # Written now, before any job, so that it is older than the first answer.
    DECLARATION = registration.record(EXPERIMENT, CONFIG.stats)
except UserError as error:
    sys.exit(f"error: {error}")

STARTED = time.time()
TRIAL = "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}"
JOBS = "results/{experiment}/{backend}/{model}/{decoding}/jobs/{task}.{prompt}.t{temp}.p{part}"
RAW_PART = (
    "results/{experiment}/{backend}/{model}/{decoding}/raw/{task}.{prompt}.t{temp}.p{part}.jsonl"
)

BATCHED = {name for name, backend in plan.backends(CONFIG).items() if backend.runs_batches}
NOT_BATCHED = {trial.backend for trial in TRIALS.values()} - BATCHED

# `--resources` on the command line replaces the profile's gpu=1. A missing limit would let all
# local jobs run at once, and so would gpu=0: Snakemake scales requests down to the limit.
if "gpu" not in workflow.global_resources:
    workflow.global_resources["gpu"] = 1
elif workflow.global_resources["gpu"].value == 0:
    sys.exit("error: --resources gpu=0 would not keep local models from running; use gpu=1")


workflow.global_resources.setdefault("batch_jobs", CONFIG.max_batch_jobs)


def one_of(names):
    """A wildcard constraint: exactly one of the names; of none of them, one that never matches."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


wildcard_constraints:
    experiment=re.escape(EXPERIMENT),
    backend=one_of({trial.backend for trial in TRIALS.values()}),
    model=one_of({trial.model for trial in TRIALS.values()}),
    decoding=one_of({trial.decoding_name for trial in TRIALS.values()}),
    prompt_set=one_of({trial.prompt_set for trial in TRIALS.values()}),
    prompt=one_of(plan.prompts(CONFIG)),
    task=one_of(plan.tasks(CONFIG)),
    temp=one_of(plan.temps(CONFIG)),
    part=one_of(plan.parts(CONFIG)),
    dataset=one_of(CONFIG.datasets),


def trial_of(wildcards):
    return TRIALS[TRIAL.format(**wildcards)]


# Inputs that depend on the config


def source_files(wildcards):
    """The file of each data set of a task: the user's own, or the downloaded one."""
    return [
        Path(spec.path or f"results/downloads/{name}/{spec.file_name}").as_posix()
        for name, spec in stages.datasets_of(CONFIG, wildcards.task).items()
    ]


def item_files(wildcards):
    return [f"results/{EXPERIMENT}/items/{task}.jsonl" for task in plan.tasks(CONFIG)]


def system_prompt(wildcards):
    return plan.prompts(CONFIG)[wildcards.prompt].as_posix()


def model_files(wildcards):
    """The model's own file, where it is one on this machine."""
    settings = stages.infer(CONFIG, wildcards.backend, wildcards.model).backend
    return [Path(settings.model).as_posix()] if settings.engine == "llama_cpp" else []


def tokenizer_files(wildcards):
    """The file that a trial's prompts are counted with, if there is one."""
    tokenizer = stages.audit(CONFIG, trial_of(wildcards)).tokenizer
    return [Path(tokenizer).as_posix()] if tokenizer else []


def budget(wildcards):
    """No file: where there is a budget, what costs something waits for it to be enough."""
    spending = stages.infer(CONFIG, wildcards.backend, wildcards.model).spending
    if spending is not None and spending.budget_usd is not None:
        if workflow.dag_settings.until or workflow.dag_settings.omit_from:
            # Snakemake would forget all jobs that wait, and say that nothing is to be done.
            sys.exit("error: --until and --omit-from do not go with budget_usd; name files instead")
        checkpoints.budget.get()
    return []


def input_parts(wildcards):
    return stages.parts(CONFIG, trial_of(wildcards)).input_files()


def raw_parts(wildcards):
    return stages.parts(CONFIG, trial_of(wildcards)).raw_files()


def files_of_all_trials(*names):
    return [f"{folder}/{name}" for folder in TRIALS for name in names]


def registration_files(wildcards):
    """What is known of the declaration of the primary question, where there is one."""
    return [f"{TRIAL}/registration.json".format(**wildcards)] if DECLARATION else []


def parts_of_all_trials():
    parts = [stages.parts(CONFIG, trial) for trial in TRIALS.values()]
    return sorted({file for each in parts for file in each.input_files() + each.raw_files()})


def input_parts_of_all_trials():
    parts = [stages.parts(CONFIG, trial) for trial in TRIALS.values()]
    return sorted({file for each in parts for file in each.input_files()})


# Settings files, one function per stage


def settings_file(stage, settings):
    return stages.settings_file(f"results/{EXPERIMENT}/settings", stage, settings)


def download_settings(wildcards):
    """Not in the experiment's folder: all experiments share downloads."""
    of_dataset = stages.download(CONFIG, wildcards.dataset)
    return stages.settings_file("results/downloads", wildcards.dataset, of_dataset)


def prepare_settings(wildcards):
    return settings_file("prepare", stages.prepare(CONFIG, wildcards.task))


def build_settings(wildcards):
    of_task = stages.build(CONFIG, wildcards.decoding, wildcards.task, wildcards.temp)
    return settings_file("build", of_task)


def check_settings(wildcards):
    return settings_file("check", stages.check(CONFIG))


def check_one_settings(wildcards, threads):
    """Not tracked, like those of `infer`."""
    return settings_file("check", stages.check_one(CONFIG, wildcards.backend, wildcards.model))


def infer_settings(wildcards, threads):
    """Not tracked by Snakemake, because it depends on `threads`; see `decided_by`."""
    return settings_file("infer", stages.infer(CONFIG, wildcards.backend, wildcards.model))


def parse_settings(wildcards):
    return settings_file("parse", stages.parse(CONFIG, trial_of(wildcards)))


def score_settings(wildcards):
    return settings_file("score", stages.score(CONFIG))


def sensitivity_settings(wildcards):
    return settings_file("sensitivity", stages.sensitivity(CONFIG))


def stats_settings(wildcards):
    return settings_file("stats", stages.stats(CONFIG))


def plan_settings(wildcards):
    return settings_file("plan", stages.plan(CONFIG))


def local_cost_settings(wildcards):
    return settings_file("local_costs", stages.costs(CONFIG, trial_of(wildcards)))


def cost_settings(wildcards):
    return settings_file("costs", stages.trial_costs(CONFIG, trial_of(wildcards)))


def audit_settings(wildcards):
    return settings_file("audit", stages.audit(CONFIG, trial_of(wildcards)))


def trial_settings(wildcards):
    return settings_file("trial", trial_of(wildcards))


# Parameters


def gpus(wildcards):
    """Jobs that occupy the local accelerator take turns, as `--resources gpu=1` allows."""
    settings = stages.infer(CONFIG, wildcards.backend, wildcards.model).backend
    return 1 if settings.backend in ("local", "openai_compatible") else 0


def decided_by(wildcards):
    return stages.decides(CONFIG, wildcards.backend, wildcards.model)


def attempts_with_failures(wildcards):
    """See workflow_scripts/infer/failures.py: makes the next run try failed requests again."""
    return failed_attempts(Path(RAW_PART.format(**wildcards)))


def source_arguments(wildcards):
    names = stages.datasets_of(CONFIG, wildcards.task)
    return [f"{name}={path}" for name, path in zip(names, source_files(wildcards))]


def say_where_the_report_is():
    """End a run that wrote the report by naming the page to open."""
    page = Path("results/report.html")
    if page.exists() and page.stat().st_mtime >= STARTED:
        print(f"\nReport: {page.resolve()}", file=sys.stderr)
