"""What all rules share: the checked config, its trials, and each job's settings file."""

import functools
import json
import re
import sys
import time
from pathlib import Path

from workflow_scripts.rules import early_cutoff, job_records
from workflow_scripts.tasks.task import template_path
from workflow_scripts.core.code_digest import code_digest
from workflow_scripts.rules import stages
from workflow_scripts.config import trials as plan
from workflow_scripts.config.experiment import claim
from workflow_scripts.config.load import load_config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.checksum import file_sha256
from workflow_scripts.answers.failures import failed_attempts
from workflow_scripts.comparisons import registration
from workflow_scripts.verify.trial import CHAIN

try:
    CONFIG = load_config(
        config,
        files=[Path(each) for each in workflow.configfiles],
        overrides=workflow.config_settings.config,
    )
    TRIALS = {trial.folder: trial for trial in plan.trials(CONFIG)}
    EXPERIMENT = CONFIG.experiment
    # The first file that a plan writes: a results folder that cannot be written is reported here.
    claim(EXPERIMENT, [Path(each) for each in workflow.configfiles])
    FRONT_SETTINGS = stages.settings_file(
        f"results/{EXPERIMENT}/settings", "front", stages.front(CONFIG)
    )
    # Written now, before any job, so that it is older than the first answer.
    DECLARATION = registration.record(EXPERIMENT, CONFIG.stats)
except UserError as error:
    sys.exit(f"error: {error}")

job_records.keep_with_results()
early_cutoff.install()

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
    condition=one_of({condition for trial in TRIALS.values() for condition in trial.arms}),
    temp=one_of(plan.temps(CONFIG)),
    part=one_of(plan.parts(CONFIG)),
    dataset=one_of(CONFIG.datasets),
    wave=one_of({str(number) for number, _ in enumerate(plan.waves(CONFIG), start=1)}),


@functools.cache  # asked for by every job of a plan
def infer_of(backend, model):
    return stages.infer(CONFIG, backend, model)


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


def question_files(wildcards):
    return [f"results/{EXPERIMENT}/questions/{task}.jsonl" for task in plan.tasks(CONFIG)]


def system_prompt(wildcards):
    return plan.prompts(CONFIG)[wildcards.prompt].as_posix()


def task_template(wildcards):
    """The task's template, where the user keeps one; else the task's own text is used."""
    path = template_path(wildcards.task)
    return [path.as_posix()] if path.is_file() else []


def model_files(wildcards):
    """The model's own file, where it is one on this machine."""
    file = infer_of(wildcards.backend, wildcards.model).backend.model_file
    return [Path(file).as_posix()] if file else []


def tokenizer_files(wildcards):
    """The file that a trial's prompts are counted with, if there is one."""
    trial = trial_of(wildcards)
    tokenizer = stages.audit(CONFIG, trial, stages.parts(CONFIG, trial)).tokenizer
    return [Path(tokenizer).as_posix()] if tokenizer else []


def budget(wildcards):
    """Wait for the budget check before paid requests. Returns no files."""
    spending = infer_of(wildcards.backend, wildcards.model).spending
    if spending is not None and spending.budget_usd is not None:
        refuse_until("budget_usd")
        checkpoints.budget.get()
    return []


def refuse_until(key):
    """Refuse `--until`: Snakemake drops jobs behind a checkpoint and reports nothing to do."""
    if workflow.dag_settings.until or workflow.dag_settings.omit_from:
        sys.exit(f"error: --until and --omit-from do not go with {key}; name files instead")


def waves_asked(wildcards):
    """How many waves of a trial's parts are asked: those after the one that settles are not."""
    waves = len(plan.waves(CONFIG))
    if waves == 1:
        return 1
    refuse_until("stats.registration.waves")
    for number in range(1, waves + 1):
        decision = checkpoints.wave.get(**wildcards, wave=number).output[0]
        if json.loads(Path(decision).read_text(encoding="utf-8"))["settled"]:
            break
    return number


def decision_file(wildcards):
    """The decision after the last wave that was asked, where there are waves."""
    if len(plan.waves(CONFIG)) == 1:
        return []
    return f"{TRIAL}/waves/{waves_asked(wildcards)}/decision.json".format(**wildcards)


def wave_parts(wildcards):
    """The parts of one wave of a trial."""
    number = int(wildcards.wave)
    return stages.parts(CONFIG, trial_of(wildcards), slice(number - 1, number))


def wave_input_parts(wildcards):
    return wave_parts(wildcards).input_files()


def wave_raw_parts(wildcards):
    return wave_parts(wildcards).raw_files()


def planned_input_parts(wildcards):
    return stages.parts(CONFIG, trial_of(wildcards)).input_files()


def scores_of_waves(wildcards):
    numbers = range(1, int(wildcards.wave) + 1)
    return [f"{TRIAL}/waves/{n}/per_item_scores.csv".format(**wildcards) for n in numbers]


def asked_parts(wildcards):
    """A trial's parts: all of them, or those of the waves that its primary question took."""
    return stages.parts(CONFIG, trial_of(wildcards), slice(waves_asked(wildcards)))


def input_parts(wildcards):
    return asked_parts(wildcards).input_files()


def raw_parts(wildcards):
    return asked_parts(wildcards).raw_files()


def files_of_all_trials(*names):
    return [f"{folder}/{name}" for folder in TRIALS for name in names]


def inspect_logs_of_all_trials():
    return [
        f"{folder}/inspect/{task}.{condition}.t{temp}.eval"
        for folder, trial in TRIALS.items()
        for task in plan.tasks(CONFIG)
        for condition in trial.arms
        for temp in trial.temps
    ]


def log_of(wildcards):
    """One arm's answers to one task at one temperature."""
    names = (wildcards.condition, wildcards.task, wildcards.temp)
    return stages.inspect_log(CONFIG, trial_of(wildcards), asked_parts(wildcards), *names)


def input_parts_of_log(wildcards):
    return log_of(wildcards).input_files()


def raw_parts_of_log(wildcards):
    return log_of(wildcards).raw_files()


def registration_files(wildcards):
    """What is known of the declaration of the primary question, where there is one."""
    return [f"{TRIAL}/registration.json".format(**wildcards)] if DECLARATION else []


def parts_of_all_trials(wildcards):
    parts = [
        asked_parts(
            {
                "experiment": EXPERIMENT,
                "backend": trial.backend,
                "model": trial.model,
                "decoding": trial.decoding_name,
                "prompt_set": trial.prompt_set,
            }
        )
        for trial in TRIALS.values()
    ]
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
    return settings_file("infer", infer_of(wildcards.backend, wildcards.model))


def parse_settings(wildcards):
    return settings_file("parse", stages.parse(CONFIG, asked_parts(wildcards)))


def wave_parse_settings(wildcards):
    return settings_file("parse", stages.parse(CONFIG, wave_parts(wildcards)))


def wave_settings(wildcards):
    of_wave = stages.wave(CONFIG, trial_of(wildcards), int(wildcards.wave))
    return settings_file("wave", of_wave)


def score_settings(wildcards):
    return settings_file("score", stages.score(CONFIG))


def sensitivity_settings(wildcards):
    return settings_file("sensitivity", stages.sensitivity(CONFIG))


def stats_settings(wildcards):
    return settings_file("stats", stages.stats(CONFIG))


def jobs_settings(wildcards):
    return settings_file("jobs", stages.jobs(CONFIG))


def plan_settings(wildcards):
    return settings_file("plan", stages.plan(CONFIG))


def local_cost_settings(wildcards):
    return settings_file("local_costs", stages.costs(asked_parts(wildcards)))


def cost_settings(wildcards):
    of_trial = stages.trial_costs(CONFIG, trial_of(wildcards), asked_parts(wildcards))
    return settings_file("costs", of_trial)


def audit_settings(wildcards):
    of_trial = stages.audit(CONFIG, trial_of(wildcards), asked_parts(wildcards))
    return settings_file("audit", of_trial)


def table_settings(wildcards):
    return settings_file("table", stages.table(CONFIG, trial_of(wildcards)))


def inspect_settings(wildcards):
    return settings_file("inspect", log_of(wildcards))


def trial_settings(wildcards):
    return settings_file("trial", trial_of(wildcards))


# Parameters


def gpus(wildcards):
    """Jobs that occupy the local accelerator take turns, as `--resources gpu=1` allows."""
    return int(infer_of(wildcards.backend, wildcards.model).backend.occupies_accelerator)


def decided_by(wildcards):
    settings = stages.decides(CONFIG, wildcards.backend, wildcards.model)
    files = model_files(wildcards)
    return {"settings": settings, "files": contents(*files)} if files else settings


def attempts_with_failures(wildcards):
    """See workflow_scripts/answers/failures.py: makes the next run try failed requests again."""
    try:
        return failed_attempts(Path(RAW_PART.format(**wildcards)))
    except UserError as error:
        sys.exit(f"error: {error}")


@functools.cache  # a file is read once a plan
def contents(*paths):
    """The sha256 of files that users edit or replace: as a param it decides, whatever their dates.

    Snakemake compares the content of an input only where the input is newer than the output.
    """
    try:
        return {path: file_sha256(Path(path)) for path in paths}
    except UserError as error:
        sys.exit(f"error: {error}")


def own_source_contents(wildcards):
    """Not of downloads, which are not there when a first run is planned; their URLs decide."""
    of_task = stages.datasets_of(CONFIG, wildcards.task)
    return contents(*(Path(spec.path).as_posix() for spec in of_task.values() if spec.path))


def prompt_contents(wildcards):
    return contents(system_prompt(wildcards), *task_template(wildcards))


def tokenizer_contents(wildcards):
    return contents(*tokenizer_files(wildcards))


def scoring_contents(wildcards):
    own = [Path(metric.file).as_posix() for metric in CONFIG.metrics.values()]
    return contents(*CONFIG.unsupported.model_files, *own)


def source_arguments(wildcards):
    names = stages.datasets_of(CONFIG, wildcards.task)
    return [f"{name}={path}" for name, path in zip(names, source_files(wildcards))]


def require_targets():
    """End a run without its targets as failed, whatever the reason is that they were not made."""
    if workflow.dag_settings.until or workflow.dag_settings.omit_from:
        return
    missing = sorted(each for each in workflow.dag.derived_targetfiles if not Path(each).exists())
    if missing:
        print(*(f"error: {each} was not made" for each in missing), sep="\n", file=sys.stderr)
        sys.exit("error: this run ended without its targets; run the same command again")


def say_where_the_report_is():
    """End a run that wrote the report by naming the page to open."""
    page = Path("results/report.html")
    if page.exists() and page.stat().st_mtime >= STARTED:
        print(f"\nReport: {page.resolve()}", file=sys.stderr)
