"""The settings of each stage, made from the config: the slice that the stage reads.

Each function makes the settings of one stage for one job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import PurePosixPath

from ..analyses.settings import AnalysisSettings, AskedJob
from ..answers.jobs import JobsSettings
from ..answers.parts import ArmParts, ParseSettings
from ..answers.settings import InferSettings
from ..backends.check import CheckSettings
from ..backends.ledger import SpendingSettings, counted_as
from ..backends.prices import no_price, quote
from ..backends.settings import BackendFields
from ..backends.shape import SCHEMA
from ..backends.tokens import TokenizerFile, tokenizer_of
from ..comparisons.differences import DifferencesSettings
from ..comparisons.settings import (
    AskedModel,
    ComparisonsSettings,
    GateSettings,
    JudgementSettings,
    RetestedArm,
    RetestSettings,
    StatsSettings,
    WaveSettings,
)
from ..config import arms, gate_checks, models, trials
from ..config.schema import ArmOverrides
from ..config.trial import Arm, FrontSettings, ListedAnalysis, Trial
from ..core.block import Block
from ..core.job_prompts import FOLDER as PROMPTS
from ..core.job_prompts import read_job, read_template
from ..core.prompts import CONTROL
from ..costs.plan_settings import (
    PlannedAnalysis,
    PlannedJudge,
    PlannedModel,
    PlannedRewriting,
    PlannedTrial,
    PlanSettings,
)
from ..costs.settings import ArmCostSettings, RewritingCostSettings, TrialCostSettings
from ..datasets.formats import FORMATS
from ..export.inspect_log import InspectSettings
from ..export.settings import Deployment, EvalSettings, ParquetSettings
from ..judges.requests import JudgeSettings
from ..judges.settings import Judge
from ..labels.settings import LabelledTrial, LabelSettings
from ..metrics.correctness import usual_correctness
from ..scoring.settings import SensitivitySettings, TrialScoreSettings
from ..scoring.verdicts import PEOPLE, AskedJudge, VerdictsSettings
from ..tasks.given import ArmRetrieval
from . import layout
from .corpora_stages import (  # noqa: F401 - the functions are found by name
    check_searches,
    checkout,
    chunk,
    embed,
    ingest,
    jobs_of_searches,
    passages,
    planned_embedders,
    planned_searches,
    retrieve,
    rewrite,
)
from .experiment import ALL_WAVES, Experiment, Job, judged_name, wildcards_of
from .request_stages import build, imported, prepare  # noqa: F401 - as above

_NOT_PLANNED = {
    name: BackendFields.model_fields[name].default
    for name in (
        "n_gpu_layers",
        "auto_fit",
        "n_batch",
        "n_sequences",
        "n_threads",
        "max_concurrent_requests",
        "requests_per_minute",
        "tokens_per_minute",
        "request_timeout_s",
        "poll_interval_s",
    )
}
"""Settings of a backend that change neither what is asked nor what it costs."""


def jobs_of(experiment: Experiment) -> Iterator[tuple[str, Job]]:
    """Yield the jobs with settings of their own, each with its stage; downloads are apart."""
    for stage in ("sensitivity", "stats", "comparisons", "check", "jobs", "plan", "label", "front"):
        yield stage, Job(experiment, {})
    config = experiment.config
    if config.gate:
        yield "gate", Job(experiment, {})
    for name in config.analyses:
        yield "analysis", Job(experiment, {"analysis": name})
    yield from jobs_of_searches(experiment)
    for task in trials.tasks(config):
        yield "prepare", Job(experiment, {"task": task})
        of_build = experiment.decodings, trials.temps(config), experiment.prompts
        for decoding, temp, prompt in product(*of_build):
            requests = {"decoding": decoding, "task": task, "temp": temp, "prompt": prompt}
            yield "build", Job(experiment, requests)
        for temp, arm in product(trials.temps(config), experiment.answers):
            yield "imported", Job(experiment, {"task": task, "temp": temp, "prompt": arm})
    numbers = range(1, len(experiment.waves) + 1)
    asked = [slice(number) for number in numbers] if len(numbers) > 1 else [ALL_WAVES]
    for each in experiment.trials:
        names = wildcards_of(each)
        further = ("retest",) if experiment.is_retested(each) else ()
        for stage in ("trial", "table", "parquet", "differences", "score", *further):
            yield stage, Job(experiment, names)
        yield from _judging_jobs(experiment, each)
        for waves in asked:
            for stage in ("parse", "costs"):
                yield stage, Job(experiment, names, waves)
            for task, condition, temp in product(trials.tasks(config), each.arms, each.temps):
                log = {"task": task, "condition": condition, "temp": temp}
                of_arm = Job(experiment, {**names, **log}, waves)
                yield "inspect_log", of_arm
                yield "evaluation", of_arm
        for number in numbers if len(numbers) > 1 else ():
            yield "wave", Job(experiment, names, slice(number))
            yield "parse", Job(experiment, names, slice(number - 1, number))


def _judging_jobs(experiment: Experiment, trial: Trial) -> Iterator[tuple[str, Job]]:
    """Yield the jobs that judge a trial's responses, if somebody does."""
    for stage in ("verdicts", "judgements") if experiment.has_verdicts else ():
        yield stage, Job(experiment, wildcards_of(trial))
    for name in experiment.judges:
        yield "judge", Job(experiment, {"judge": name, "judged_trial": judged_name(trial)})


def settings_of(stage: str, job: Job) -> Block:
    """Return the settings of a stage for a job: the function of this name makes them."""
    settings: Block = globals()[stage](job)
    return settings


def differences(job: Job) -> DifferencesSettings:
    """Settings for what the requests of a trial's arms differ in."""
    control = job.trial.arms[CONTROL]
    differing = {
        condition: arm.differing(control)
        for condition, arm in job.trial.arms.items()
        if condition != CONTROL
    }
    who = {"backend", "model"}
    return DifferencesSettings(
        parts=job.experiment.parts(job.trial),
        declared={name: [each for each in of if each not in who] for name, of in differing.items()},
        who={name: [each for each in of if each in who] for name, of in differing.items()},
    )


def infer(job: Job) -> InferSettings:
    """Settings for the answers of one model."""
    return InferSettings(
        backend=job.model,
        max_retries=job.config.max_retries,
        spending=spending(job),
    )


def spending(job: Job) -> SpendingSettings | None:
    """How what is paid is written down: not at all if it is nothing, or not known."""
    price = quote(job.model, job.config.pricing)
    if price is None or price.is_free:
        return None
    return SpendingSettings(
        folder=_spending_folder(job.experiment),
        engine=job.model.engine,
        model=counted_as(job.wildcards["backend"], job.model),
        tokenizer=tokenizer_of(job.model),
        quote=price,
        budget_usd=job.config.budget_usd,
    )


def decides(job: Job) -> str:
    """What of `infer`'s settings can change an answer.

    Threads, time-outs, retries and the like cannot, so a change of them re-runs nothing.
    """
    deciding = {"local_model", "model_id", "model_version", "local_endpoint", "n_ctx"}
    deciding |= {"base_url", "omit", "rename", "extra_body"}
    return json.dumps(job.model.model_dump(include=deciding))


def jobs(job: Job) -> JobsSettings:
    """Settings for looking at the batch jobs of all models."""
    return JobsSettings(
        models={
            f"{backend}/{model}": infer(Job(job.experiment, {"backend": backend, "model": model}))
            for (backend, model), settings in job.experiment.models.items()
            if settings.runs_batches
        }
    )


def check(job: Job) -> CheckSettings:
    """Settings for looking at all backends and models."""
    models = job.experiment.models.items()
    backends = {f"{backend}/{model}": settings for (backend, model), settings in models}
    parts = job.experiment.schema_parts
    return CheckSettings(
        backends=backends,
        schema_parts=parts,
        longest_answers={name: job.experiment.longest_answer(name) for name in backends},
        prompt_bytes=job.experiment.prompt_bytes,
    )


def check_one(job: Job) -> CheckSettings:
    """Settings for looking at one of them."""
    name = "{backend}/{model}".format(**job.wildcards)
    parts = {name: job.experiment.schema_parts.get(name, [])}
    return CheckSettings(
        backends={name: job.model},
        schema_parts=parts,
        max_new_tokens=job.experiment.longest_answer(name),
        prompt_bytes=job.experiment.prompt_bytes,
    )


def parse(job: Job) -> ParseSettings:
    """Settings for gathering the answers of a trial's parts."""
    return ParseSettings(parts=job.parts, max_failure_share=job.config.max_failure_share)


def score(job: Job) -> TrialScoreSettings:
    """Settings for scoring."""
    config = job.config
    return TrialScoreSettings(
        judges={name: each.measurement(config.undecided) for name, each in config.judges.items()},
        unsupported=config.unsupported,
        abstention_phrases=config.abstention_phrases,
        evaluations={
            name: evaluation
            for name, spec in config.datasets.items()
            if (evaluation := spec.evaluation or FORMATS[spec.format].evaluation) is not None
        },
        correctness={
            name: spec.correctness or config.correctness or usual_correctness(bool(spec.evaluation))
            for name, spec in config.datasets.items()
        },
        own_metrics=dict(config.metrics),
        options=config.task_options,
        options_of_arms={
            condition: arm.options
            for condition, arm in job.trial.arms.items()
            if arm.options != arms.options(config, ArmOverrides(system=""))
        },
    )


def judge(job: Job) -> JudgeSettings:
    """Settings for what a judge is asked about a trial."""
    name = job.wildcards["judge"]
    judge = job.config.judges[name]
    backend = job.experiment.backends[models.judge_backend(name)]
    return JudgeSettings(
        name=name,
        judge=judge.measurement(job.config.undecided),
        trial=job.wildcards["judged_trial"],
        text=judge.prompt_text(),
        enforced=backend.declaration.judges_by_schema and SCHEMA not in backend.omit,
        parts=trials.parts(job.config),
        reasoning=backend.reasoning,
        retrievals=_shown(job, judge, job.experiment.judged_trial(job.wildcards)),
    )


def _shown(job: Job, judge: Judge, trial: Trial) -> dict[str, ArmRetrieval]:
    """The passages of a trial's arms, if a judge sees them."""
    return job.experiment.retrievals(trial) if judge.shows_passages else {}


def retest(job: Job) -> RetestSettings:
    """Settings for how often a trial's answers change when requests are sent again."""
    arms = job.trial.arms
    return RetestSettings(
        arms={
            condition: RetestedArm(
                backend=arms[condition].backend,
                model=arms[condition].model,
                decoding=arms[condition].decoding_name,
                first=first,
                again=again,
                quote=quote(job.experiment.model_of(arms[condition]), job.config.pricing),
            )
            for condition, (first, again) in job.experiment.retested_parts(job.trial).items()
        },
        confidence=job.config.stats.confidence,
    )


def analysis(job: Job) -> AnalysisSettings:
    """Settings for an analysis."""
    name = job.wildcards["analysis"]
    declared = job.config.analyses[name]
    intent, adaptation = read_job("intent"), read_job("adapt_plan")
    repair = read_template("repair_plan", PROMPTS / "repair_plan.md")
    backend, model = job.experiment.analysis_model()
    settings = job.experiment.models[backend, model]
    return AnalysisSettings(
        name=name,
        title=job.config.title,
        note=job.config.note,
        data=declared.data,
        question=declared.question,
        backend=backend,
        model=model,
        enforced=settings.declaration.dialect is not None,
        jobs={
            "intent": AskedJob.of(intent.template, intent.schema_text),
            "adapt_plan": AskedJob.of(adaptation.template, adaptation.schema_text),
            "repair_plan": AskedJob.of(repair, adaptation.schema_text),
        },
    )


def verdicts(job: Job) -> VerdictsSettings:
    """Settings for gathering the verdicts on a trial's responses."""
    config, experiment = job.config, job.experiment
    files = {
        name: judge.verdicts_file for name, judge in config.judges.items() if judge.verdicts_file
    }
    return VerdictsSettings(
        asked={
            name: AskedJudge(
                judge=judge.measurement(config.undecided),
                parts=experiment.judge_parts(job.trial, name),
                retrievals=_shown(job, judge, job.trial),
            )
            for name, judge in experiment.judges.items()
        },
        files={**files, **({PEOPLE: config.labels} if config.labels else {})},
        answers={
            condition: arm.answers
            for condition, arm in job.trial.arms.items()
            if arm.answers is not None
        },
        arms={condition: arm.name for condition, arm in job.trial.arms.items()},
        trial=layout.TRIAL.format(**wildcards_of(job.trial)),
    )


def judgements(job: Job) -> JudgementSettings:
    """Settings for how far the verdicts can be trusted."""
    config, trial = job.config, job.trial
    return JudgementSettings(
        judges={name: each.measurement(config.undecided) for name, each in config.judges.items()},
        asked={
            name: AskedModel(
                model=backend.model,
                raw=job.experiment.judge_parts(trial, name).raw_files(),
                quote=quote(backend, config.pricing),
            )
            for name in job.experiment.judges
            for backend in [job.experiment.backends[models.judge_backend(name)]]
        },
        judged_models={condition: arm.model for condition, arm in trial.arms.items()},
        labels=config.labels,
        arms={condition: arm.name for condition, arm in trial.arms.items()},
        bar=config.judge_bar,
        confidence=config.stats.confidence,
        trial=layout.TRIAL.format(**wildcards_of(trial)),
    )


def label(job: Job) -> LabelSettings:
    """Settings for the samples of responses that people label."""
    config, experiment = job.config, job.experiment
    of = experiment.layout.trial
    trials_of_labels = []
    for each in experiment.trials:
        names = wildcards_of(each)
        trials_of_labels.append(
            LabelledTrial(
                name=layout.TRIAL.format(**names),
                arms={condition: arm.name for condition, arm in each.arms.items()},
                temp=temp if (temp := config.labelling.temp) in each.temps else each.temps[0],
                answers=of("answers.csv").format(**names),
                outcomes=of("outcomes.csv").format(**names),
                metrics=of("metrics.json").format(**names),
                page=experiment.layout.label_page.format(**names),
                key=experiment.layout.label_key.format(**names),
                retrievals=experiment.retrievals(each),
            )
        )
    return LabelSettings(
        experiment=config.experiment,
        trials=trials_of_labels,
        item_files=experiment.item_files(),
        labelling=config.labelling,
        judges=list(config.judges),
        confidence=config.stats.confidence,
        output=config.labels or f"labels/{config.experiment}.csv",
    )


def sensitivity(job: Job) -> SensitivitySettings:
    """Settings for the sweep of the threshold of unsupported answers."""
    config = job.config
    return SensitivitySettings(unsupported=config.unsupported, confidence=config.stats.confidence)


def stats(job: Job) -> StatsSettings:
    """Settings for the comparisons."""
    config = job.config
    return StatsSettings(
        stats=config.stats,
        samples_per_item=config.samples_per_item,
        tasks={name: spec.the_task for name, spec in config.datasets.items()},
    )


def comparisons(job: Job) -> ComparisonsSettings:
    """Settings for the comparisons of all trials; what only pages show is left out."""
    unnamed = {"title": None, "note": None}
    return ComparisonsSettings(
        stats=job.config.stats,
        trials=[each.model_copy(update=unnamed) for each in job.experiment.trials],
    )


def gate(job: Job) -> GateSettings:
    """Settings for the decision whether anything got worse."""
    config = job.config
    return GateSettings(
        title=config.title,
        trials=[
            each.model_copy(update={"title": None, "note": None}) for each in job.experiment.trials
        ],
        checks=[
            check.model_copy(update={"margin": gate_checks.margin_of(config, check)})
            for check in config.gate
        ],
        judged=job.experiment.has_verdicts,
        power=config.stats.power,
    )


def wave(job: Job) -> WaveSettings:
    """Settings for the decision after the waves of a trial so far."""
    return WaveSettings(
        stats=stats(job),
        treatments=[condition for condition in job.trial.arms if condition != CONTROL],
        temps=job.trial.temps,
        asked=job.parts,
        planned=job.experiment.parts(job.trial),
        waves_planned=len(job.experiment.waves),
    )


def costs(job: Job) -> TrialCostSettings:
    """Settings for what the answers of a trial's parts took."""
    return TrialCostSettings(
        arms={
            condition: _arm_costs(job, arm, job.parts.arms[condition])
            for condition, arm in job.trial.arms.items()
        },
        spending_folder=_spending_folder(job.experiment),
        embedders=job.experiment.paid_embedders(job.experiment.searches_of(job.trial)),
    )


def plan(job: Job) -> PlanSettings:
    """Settings for what a run would ask and cost."""
    config, experiment = job.config, job.experiment
    return PlanSettings(
        experiment=config.experiment,
        spending_folder=_spending_folder(experiment),
        budget_usd=config.budget_usd,
        models=[
            PlannedModel(
                backend=backend,
                model=model,
                settings=settings.model_copy(update=_NOT_PLANNED),
                quote=quote(settings, config.pricing),
            )
            for (backend, model), settings in experiment.models.items()
        ],
        trials=[_planned(experiment, trial) for trial in experiment.trials],
        rewrites=[
            PlannedRewriting(
                task=of.task,
                asked=(of.backend, of.model),
                requests=experiment.layout.rewrite_requests.format(**of._asdict()),
            )
            for of in experiment.rewritings
        ],
        analyses=[_planned_analysis(experiment, name) for name in config.analyses],
        analyses_ask=experiment.analysis_model() if config.analyses else None,
        left_out=experiment.left_out,
        embedders=planned_embedders(experiment),
        searches=planned_searches(experiment),
    )


def trial(job: Job) -> Trial:
    """Settings for the page of one trial."""
    return job.trial


def front(job: Job) -> FrontSettings:
    """Settings for the pages and tables of all trials."""
    analyses = [
        ListedAnalysis(name=name, question=each.question, data=PurePosixPath(each.data).name)
        for name, each in job.config.analyses.items()
    ]
    return _front(job, job.experiment.trials).model_copy(update={"analyses": analyses})


def table(job: Job) -> FrontSettings:
    """Settings for the table of one trial."""
    return _front(job, [job.trial])


def parquet(job: Job) -> ParquetSettings:
    """Settings for the tables of one trial."""
    return ParquetSettings(retrievals=job.experiment.retrievals(job.trial))


def inspect_log(job: Job) -> InspectSettings:
    """Settings for the log of one arm's answers to one task at one temperature."""
    names = job.wildcards
    condition, task, temp = names["condition"], names["task"], names["temp"]
    arm = job.trial.arms[condition]
    prompt, parts = arm.prompt, job.parts.arms[condition]
    model = None if arm.answers else job.experiment.model_of(arm)
    of_log = {f"{task}.{prompt}.t{temp}.p{part}.jsonl" for part in trials.parts(job.config)}
    return InspectSettings(
        experiment=job.config.experiment,
        title=job.config.title,
        backend=arm.backend,
        engine=model.engine if model else arm.backend,
        # Not the path of a file on this machine.
        model=arm.model if model is None or model.model_file else model.model,
        n_ctx=model.n_ctx if model else None,
        prompt_set=job.trial.prompt_set,
        condition=condition,
        prompt=prompt,
        task=task,
        temp=temp,
        parts=parts.model_copy(update={"names": [each for each in parts.names if each in of_log]}),
        takes_temperature=arm.takes_temperature,
        shape=arm.shape,
        retrieval=job.experiment.retrievals(job.trial).get(condition),
    )


def evaluation(job: Job) -> EvalSettings:
    """Settings for one arm's answers in the formats of others."""
    arm = job.trial.arms[job.wildcards["condition"]]
    model = None if arm.answers else job.experiment.model_of(arm)
    datasets = job.experiment.datasets(job.wildcards["task"])
    deployment: Deployment = "unknown"
    if model and model.declaration.is_hosted:
        deployment = "externally_managed"
    elif model and model.declaration.is_local:
        deployment = "self_deployed"
    return EvalSettings(
        **dict(inspect_log(job)),
        deployment_type=deployment,
        # A file on this machine has open weights; of a name nobody knows.
        model_availability="open_weights" if model and model.model_file else "unknown",
        confidence=job.config.stats.confidence,
        benchmarks={name: spec.hub for name, spec in datasets.items() if spec.hub},
        urls={name: spec.url for name, spec in datasets.items() if spec.url},
    )


def _arm_costs(job: Job, arm: Arm, parts: ArmParts) -> ArmCostSettings:
    if arm.answers is not None:
        return ArmCostSettings(
            parts=parts,
            system="",
            model=arm.model,
            tokenizer=TokenizerFile(path=None, is_own=False),
            n_ctx=None,
            quote=None,
            note=f"the answers come from {arm.answers.shown}, and nothing was paid for them here",
        )
    model = job.experiment.model_of(arm)
    price = quote(model, job.config.pricing)
    return ArmCostSettings(
        parts=parts,
        system=arm.prompt_text,
        model=model.model,
        tokenizer=tokenizer_of(model),
        n_ctx=model.n_ctx,
        quote=price,
        note=no_price(model) if price is None else None,
        telemetry=parts.telemetry_files() if job.experiment.is_measured(arm) else [],
        rewritings=[
            RewritingCostSettings(
                name=f"{of.model} ({of.backend}), {of.rewriting}, {of.task}",
                parts=job.experiment.rewriting_parts(of),
            )
            for of in job.experiment.rewritings_of(arm)
        ],
    )


def _front(job: Job, compared: list[Trial]) -> FrontSettings:
    return FrontSettings(title=job.config.title, note=job.config.note, trials=compared)


def _planned_analysis(experiment: Experiment, name: str) -> PlannedAnalysis:
    first, possible, repair = (
        experiment.layout.analysis_requests(job).format(analysis=name)
        for job in ("intent", layout.POSSIBLE, "repair_plan")
    )
    return PlannedAnalysis(
        name=name, first=first, possible=possible, repair=repair, repair_type="repair_plan"
    )


def _planned(experiment: Experiment, of_trial: Trial) -> PlannedTrial:
    job = Job(experiment, wildcards_of(of_trial))
    return PlannedTrial(
        folder=of_trial.folder,
        asked_of={
            name: (arm.backend, arm.model)
            for name, arm in of_trial.arms.items()
            if arm.answers is None
        },
        parts=experiment.planned_parts(of_trial),
        rewritten={
            condition: job.parts.arms[condition]
            for condition, arm in of_trial.arms.items()
            if experiment.is_rewritten(arm)
        },
        again={
            condition: again
            for condition, (_, again) in experiment.planned_retests(of_trial).items()
        },
        judges=[
            PlannedJudge(
                name=name,
                asked=(backend, model),
                text=judge.prompt_text(),
                max_new_tokens=judge.max_new_tokens,
                repeats=1 + judge.retest,
                pairs=judge.instrument().pairs,
            )
            for name, judge in experiment.judges.items()
            for backend, model in experiment.models
            if backend == models.judge_backend(name)
        ],
        question=wave(job) if job.config.stats.registration else None,
    )


def _spending_folder(experiment: Experiment) -> str:
    return experiment.layout.of("spending")
