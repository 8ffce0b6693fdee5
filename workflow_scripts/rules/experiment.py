"""The checked config as the rules see it: trials, models and the files that jobs read.

The methods that take ``wildcards`` are input functions and params of rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from ..analyses.settings import MAX_NEW_TOKENS, JobName
from ..answers.parts import RETEST, ArmParts, TrialParts
from ..backends.prices import quote
from ..backends.settings import BackendSettings
from ..backends.tokens import tokenizer_of
from ..config import arms, models, trials
from ..config.judge_checks import uses_labels
from ..config.schema import ArmOverrides, Config
from ..config.trial import Arm, DecodingSettings, Trial
from ..core.chats import read_chat
from ..core.checksum import file_sha256
from ..core.prompts import prompt_path
from ..core.recorded import AnswersFile
from ..datasets.settings import DatasetSpec
from ..judges.requests import TEMP
from ..judges.settings import Judge
from ..plans.templates import template_files
from ..requests import rewrite
from ..retrieval.settings import REWRITE
from ..tasks.registry import TASKS
from ..tasks.task import Task
from ..verify.trial import RETEST_FILE
from .corpora import Corpora
from .layout import ANALYSIS, DOWNLOAD, JUDGED, POSSIBLE, TRIAL, Layout

ALL_WAVES = slice(None)

Wildcards = Mapping[str, str]


class Experiment(Corpora):
    """One config, with the results of what the jobs of a plan ask again and again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = Layout(config.experiment)
        self._sha256: dict[str, str] = {}
        self._found: Callable[[list[str]], list[str]] = _all

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials, in the order of the config."""
        return trials.trials(self.config)

    @cached_property
    def left_out(self) -> list[str]:
        """What the config names and is not asked, because something else sends the same."""
        return trials.left_out(self.config)

    @cached_property
    def _trials(self) -> dict[str, Trial]:
        return {TRIAL.format(**wildcards_of(trial)): trial for trial in self.trials}

    @cached_property
    def backends(self) -> dict[str, BackendSettings]:
        """The backends by their names in paths; each judge that is asked is one."""
        return {**models.backends(self.config), **models.judges(self.config)}

    @cached_property
    def models(self) -> dict[tuple[str, str], BackendSettings]:
        """The settings of each model, by backend and model."""
        return models.models(self.config)

    @cached_property
    def decodings(self) -> dict[str, DecodingSettings]:
        """The decoding settings of trials and arms, by name."""
        asked = (arm for trial in self.trials for arm in trial.arms.values() if not arm.answers)
        return {arm.decoding_name: arm.decoding for arm in asked}

    @cached_property
    def prompts(self) -> dict[str, ArmOverrides]:
        """What the texts of requests are made from, by the name that the requests carry."""
        return trials.prompts(self.config)

    @property
    def tasks(self) -> list[str]:
        """The tasks that the data sets are put to."""
        return list(trials.tasks(self.config))

    @cached_property
    def judges(self) -> dict[str, Judge]:
        """The judges that are asked, by name."""
        return {name: judge for name, judge in self.config.judges.items() if judge.asks}

    @cached_property
    def has_verdicts(self) -> bool:
        """Whether somebody judges the responses: models or people."""
        return bool(self.config.judges or self.config.labels or uses_labels(self.config))

    @cached_property
    def _judged_trials(self) -> dict[str, Trial]:
        """The trials by the name that a judge's requests about them carry."""
        return {judged_name(trial): trial for trial in self.trials} if self.judges else {}

    @cached_property
    def answers(self) -> dict[str, AnswersFile]:
        """The files of answers, by the name of their arm."""
        return trials.files_of_answers(self.config)

    def longest_answer(self, model: str) -> int:
        """The longest answer of a model (``backend/model``) in tokens; 0 if none is known."""
        asked = (arm for trial in self.trials for arm in trial.arms.values() if not arm.answers)
        longest = [
            arm.decoding.request(task, TEMP, seed=0).most_tokens
            for arm in asked
            if f"{arm.backend}/{arm.model}" == model
            for task in arm.decoding.max_new_tokens
        ]
        longest += [
            judge.max_new_tokens
            for name, judge in self.judges.items()
            if model.startswith(f"{models.judge_backend(name)}/")
        ]
        longest += MAX_NEW_TOKENS.values() if self.config.analyses else []
        longest += [rewrite.MAX_NEW_TOKENS] if self.rewritten_prompts else []
        return max(longest, default=0)

    @cached_property
    def prompt_bytes(self) -> int:
        """The longest system prompt in bytes."""
        chats = [read_chat(prompt_path(each.system_prompt)) for each in self.prompts.values()]
        prompts = ["\n".join([chat.system, *chat.others]) for chat in chats]
        return max((len(text.encode("utf-8")) for text in prompts), default=0)

    @cached_property
    def waves(self) -> list[list[str]]:
        """The parts of each wave; all parts in one wave if none are declared."""
        return trials.waves(self.config)

    @property
    def batched(self) -> set[str]:
        """The backends whose parts are batch jobs of a provider."""
        return {name for name, backend in self.backends.items() if backend.runs_batches}

    @property
    def not_batched(self) -> set[str]:
        """The backends that are asked request by request."""
        return self.backends.keys() - self.batched

    def wildcard_constraints(self) -> dict[str, str]:
        """For each wildcard, a regular expression for the values that the config gives it."""
        analyses = self.config.analyses
        rewriting = {each.rewriting for each in self.rewritings}
        rewritten = {each.task for each in self.rewritings}
        values: dict[str, Iterable[str]] = {
            "backend": {*self.backends, *(trial.backend for trial in self.trials)},
            "model": {
                *(model for _, model in self.models),
                *(trial.model for trial in self.trials),
            },
            "decoding": {
                *self.decodings,
                *(f"{name}{RETEST}" for name in self.decodings if self.config.retest),
                *(trial.decoding_name for trial in self.trials),
                *([JUDGED] if self.judges else []),
                *([ANALYSIS] if analyses else []),
                *rewriting,
            },
            "prompt_set": trials.active_prompt_sets(self.config),
            "prompt": {
                *self.prompts,
                *self.answers,
                *self._judged_trials,
                *analyses,
                *rewritten,
            },
            "task": [
                *trials.tasks(self.config),
                *self.judges,
                *(get_args(JobName) if analyses else ()),
                *([REWRITE] if rewriting else []),
            ],
            "analysis": analyses,
            "condition": {name for trial in self.trials for name in trial.arms},
            "temp": [
                *trials.temps(self.config),
                *([TEMP] if self.judges or analyses or rewriting else []),
            ],
            "part": [*trials.parts(self.config), "000"],
            "judge": self.judges,
            "judged_trial": self._judged_trials,
            "dataset": self.config.datasets,
            **self.retrieval_constraints(),
            "rewriting": rewriting,
            "wave": [str(number) for number, _ in enumerate(self.waves, start=1)],
        }
        return {name: one_of(each) for name, each in values.items()}

    def trial(self, wildcards: Wildcards) -> Trial:
        """The trial of a job."""
        return self._trials[TRIAL.format(**wildcards)]

    def model(self, wildcards: Wildcards) -> BackendSettings:
        """The settings of the model that a job asks or is about."""
        return self.models[wildcards["backend"], wildcards["model"]]

    def decoding(self, wildcards: Wildcards) -> DecodingSettings:
        """The decoding settings of a job's requests."""
        return self.decodings[wildcards["decoding"]]

    def datasets(self, task: str) -> dict[str, DatasetSpec]:
        """The data sets that are put to a task."""
        found = self.config.datasets.items()
        return {name: spec for name, spec in found if spec.the_task == task}

    @property
    def downloads(self) -> list[str]:
        """The data sets that have a URL."""
        return [name for name, spec in self.config.datasets.items() if spec.url]

    def parts(self, trial: Trial, waves: slice = ALL_WAVES) -> TrialParts:
        """The parts of a trial in some of its waves."""
        names = list(itertools.chain.from_iterable(self.waves[waves]))
        return TrialParts(
            arms={
                condition: ArmParts(
                    inputs_folder=arm.inputs_folder,
                    raw_folder=arm.raw_folder,
                    names=trials.part_names(self.config, arm.prompt, trial.temps, names),
                    answers=arm.answers,
                )
                for condition, arm in trial.arms.items()
            }
        )

    def model_of(self, arm: Arm) -> BackendSettings:
        """The settings of the model that answers in an arm."""
        return self.models[arm.backend, arm.model]

    def is_measured(self, arm: Arm) -> bool:
        """Whether telemetry is measured while an arm's parts are answered, request by request."""
        return self.config.telemetry and arm.answers is None and not self.model_of(arm).runs_batches

    def telemetry(self, wildcards: Wildcards, waves: slice) -> list[str]:
        """The telemetry of a trial's parts in some of its waves, where it is measured."""
        trial = self.trial(wildcards)
        parts = self.parts(trial, waves).arms
        return [
            file
            for condition, arm in trial.arms.items()
            if self.is_measured(arm)
            for file in parts[condition].telemetry_files()
        ]

    def planned_parts(self, trial: Trial, waves: slice = ALL_WAVES) -> TrialParts:
        """The parts of a trial as they are known before anything is asked, in some of its waves.

        Where a model rewrites the questions, those with the passages found for the questions stand
        for its own.
        """
        parts = self.parts(trial, waves).arms
        return TrialParts(
            arms={
                condition: parts[condition].model_copy(
                    update={"inputs_folder": self.layout.of(f"inputs/{arm.decoding_name}")}
                )
                if self.is_rewritten(arm)
                else parts[condition]
                for condition, arm in trial.arms.items()
            }
        )

    def is_rewritten(self, arm: Arm) -> bool:
        """Whether the requests of an arm depend on its model, which rewrites the questions."""
        return arm.answers is None and arm.prompt in self.rewritten_prompts

    def part_requests(self, wildcards: Wildcards) -> str:
        """The batch-input part that a raw part answers."""
        decoding, prompt = wildcards["decoding"], wildcards["prompt"]
        answers = decoding.removesuffix(RETEST) in self.decodings
        of_model = prompt in self.rewritten_prompts if answers else self._rewrites(decoding)
        path = self.layout.rewritten_requests if of_model else self.layout.requests
        return path.format(**wildcards)

    def _rewrites(self, decoding: str) -> bool:
        return any(decoding == each.rewriting for each in self.rewritings)

    def requests(self, wildcards: Wildcards, waves: slice) -> list[str]:
        """The batch-input parts of a trial in some of its waves."""
        return self._found(self.parts(self.trial(wildcards), waves).input_files())

    def raw(self, wildcards: Wildcards, waves: slice) -> list[str]:
        """The raw parts of a trial in some of its waves."""
        return self._found(self.parts(self.trial(wildcards), waves).raw_files())

    @contextlib.contextmanager
    def one_part(self) -> Iterator[None]:
        """Let `requests` and `raw` name a single part, which is quick and enough as an example."""
        self._found = itemgetter(slice(1))
        try:
            yield
        finally:
            self._found = _all

    # Requests that are sent again

    def is_retested(self, trial: Trial) -> bool:
        """Whether some requests of a trial are sent a second time."""
        return bool(self.config.retest) and trial.asks

    def retested_parts(self, trial: Trial) -> dict[str, tuple[ArmParts, ArmParts]]:
        """By condition, parts that are certainly asked, and the requests of them sent again."""
        return self._retested(trial, self.parts(trial, slice(1)).arms)

    def planned_retests(self, trial: Trial) -> dict[str, tuple[ArmParts, ArmParts]]:
        """The same as they are known before anything is asked."""
        return self._retested(trial, self.planned_parts(trial, slice(1)).arms)

    def _retested(
        self, trial: Trial, first: Mapping[str, ArmParts]
    ) -> dict[str, tuple[ArmParts, ArmParts]]:
        return {
            condition: (first[condition], first[condition].sent_again())
            for condition, arm in trial.arms.items()
            if arm.answers is None and self.is_retested(trial)
        }

    def drawn_from(self, wildcards: Wildcards) -> list[str]:
        """The batch-input parts that requests are drawn from, to be sent again."""
        return self._of_first_wave(self.layout.requests, wildcards)

    def rewritten_drawn_from(self, wildcards: Wildcards) -> list[str]:
        """The same for one model that rewrote the questions."""
        return self._of_first_wave(self.layout.rewritten_requests, wildcards)

    def _of_first_wave(self, path: str, wildcards: Wildcards) -> list[str]:
        return [path.format(**{**wildcards, "part": part}) for part in self.waves[0]]

    def retested_raw(self, wildcards: Wildcards) -> list[str]:
        """The raw parts of a trial that are compared with each other."""
        pairs = self.retested_parts(self.trial(wildcards)).values()
        return self._found([name for pair in pairs for parts in pair for name in parts.raw_files()])

    def if_retested(self, *paths: str) -> Callable[[Wildcards], list[str]]:
        """These files of a trial, if some of its requests are sent again."""
        return lambda wildcards: [
            path.format(**wildcards) for path in paths if self.is_retested(self.trial(wildcards))
        ]

    def all_requests_sent_again(self) -> list[str]:
        """The batch-input parts of all requests that are sent a second time, as planned."""
        again = (parts for trial in self.trials for parts in self.planned_retests(trial).values())
        return sorted({file for _, parts in again for file in parts.input_files()})

    def retests(self) -> list[str]:
        """The retest.json of all trials that have one."""
        retested = filter(self.is_retested, self.trials)
        return [f"{trial.folder}/{RETEST_FILE}" for trial in retested]

    # Judges

    def judged_trial(self, wildcards: Wildcards) -> Trial:
        """The trial that a judge's requests are about."""
        return self._judged_trials[wildcards["judged_trial"]]

    def judged_predictions(self, wildcards: Wildcards) -> str:
        """The responses of that trial."""
        return f"{self.judged_trial(wildcards).folder}/predictions.csv"

    def judged_retrieved(self, wildcards: Wildcards) -> list[str]:
        """The passages of the arms of that trial that search."""
        return self.retrieved(wildcards_of(self.judged_trial(wildcards)))

    def cut_judge_requests(self) -> list[str]:
        """The parts of a judge's requests, with the job's wildcards."""
        parts = trials.parts(self.config)
        return [self.layout.judge_requests.replace("{part}", part) for part in parts]

    def judge_model(self, judge: str) -> tuple[str, str]:
        """The backend and the model of a judge that is asked, by their names in paths."""
        backend = models.judge_backend(judge)
        return backend, next(model for name, model in self.models if name == backend)

    def judge_parts(self, trial: Trial, judge: str) -> ArmParts:
        """The parts of what a judge is asked about a trial."""
        backend, model = self.judge_model(judge)
        first = f"{judge}.{judged_name(trial)}.t{TEMP}"
        return ArmParts(
            inputs_folder=self.layout.of(f"inputs/{JUDGED}"),
            raw_folder=self.layout.of(f"{backend}/{model}/{JUDGED}/raw"),
            names=[f"{first}.p{part}.jsonl" for part in trials.parts(self.config)],
        )

    def verdicts(self, wildcards: Wildcards) -> list[str]:
        """A trial's verdicts, if somebody judges."""
        return [f"{self.trial(wildcards).folder}/verdicts.csv"] if self.has_verdicts else []

    def if_judged(self, names: Iterable[str]) -> list[str]:
        """These files of a trial, with its wildcards, if somebody judges."""
        return [self.layout.trial(name) for name in names] if self.has_verdicts else []

    def judge_raw(self, wildcards: Wildcards) -> list[str]:
        """The raw parts of the judges of a trial."""
        trial = self.trial(wildcards)
        return [
            file for judge in self.judges for file in self.judge_parts(trial, judge).raw_files()
        ]

    def verdict_files(self) -> list[str]:
        """The user's own files of labels and verdicts; answers made elsewhere may have some."""
        if not self.has_verdicts:
            return []
        files = [judge.verdicts_file for judge in self.config.judges.values()]
        answers = [file.path for file in self.answers.values()]
        return [Path(file).as_posix() for file in (self.config.labels, *files, *answers) if file]

    # Analyses

    def planned_analyses(self) -> list[str]:
        """What the plan reads of all analyses: their first requests, and those that may follow."""
        paths = [self.layout.analysis_requests(job) for job in ("intent", POSSIBLE)]
        return [path.format(analysis=each) for each in self.config.analyses for path in paths]

    def analysis_files(self, *names: str) -> list[str]:
        """These files of all analyses."""
        paths = [self.layout.analysis(name) for name in names]
        return [path.format(analysis=each) for each in self.config.analyses for path in paths]

    def analysis_data(self, wildcards: Wildcards) -> str:
        """The table of an analysis."""
        return Path(self.config.analyses[wildcards["analysis"]].data).as_posix()

    def analysis_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """Of that table."""
        return self.contents(self.analysis_data(wildcards))

    def analysis_model(self) -> tuple[str, str]:
        """The backend and the model that analyses ask: the first that the config names."""
        return next(iter(self.models))

    def analysis_raw(self, job: str) -> str:
        """The raw part of one thing that is asked for an analysis."""
        # Rules read this path where nothing is analysed too, and Snakemake warns of empty folders.
        backend, model = self.analysis_model() if self.config.analyses else ("none", "none")
        return self.layout.raw.format(
            backend=backend, model=model, decoding=ANALYSIS, task=job, prompt="{analysis}",
            temp=TEMP, part="000",
        )  # fmt: skip

    def plan_files(self) -> list[str]:
        """The ready plans of analysis."""
        return [path.as_posix() for path in template_files()] if self.config.analyses else []

    def plan_contents(self) -> dict[str, str]:
        """Of them."""
        return self.contents(*self.plan_files())

    # Files

    def differences_of_part(self, wildcards: Wildcards) -> list[str]:
        """That the arms of each trial that reads a part differ as declared."""
        place = tuple(wildcards[name] for name in ("backend", "model", "decoding", "prompt"))
        return [
            f"{trial.folder}/differences.json"
            for trial in self.trials
            for arm in trial.arms.values()
            if (arm.backend, arm.model, arm.decoding_name, arm.prompt) == place
        ]

    def of_all_trials(self, *names: str) -> list[str]:
        """These files of all trials."""
        return [f"{trial.folder}/{name}" for trial in self.trials for name in names]

    def item_files(self) -> list[str]:
        """The items of all tasks."""
        return [self.layout.items.format(task=task) for task in trials.tasks(self.config)]

    def items_of_question(self) -> list[str]:
        """The items, where the declared question is about a subgroup of them."""
        declared = self.config.stats.registration
        return self.item_files() if declared and declared.subgroup else []

    def question_files(self) -> list[str]:
        """The items of all tasks without their gold answers."""
        return [self.layout.questions.format(task=task) for task in trials.tasks(self.config)]

    def cut_requests(self) -> list[str]:
        """The parts that the requests of a job are cut into, with the job's wildcards."""
        return self._cut(self.layout.requests)

    def cut_imports(self) -> dict[str, list[str]]:
        """The parts that an arm's file of answers is cut into, with the job's wildcards."""
        return {
            "requests": self._cut(self.layout.imported_requests),
            "raw": self._cut(self.layout.imported_raw),
        }

    def _cut(self, path: str) -> list[str]:
        return [path.replace("{part}", part) for part in trials.parts(self.config)]

    @cached_property
    def schema_parts(self) -> dict[str, list[str]]:
        """The batch-input parts with JSON schemas, by the backend and the model that are asked."""
        found: dict[str, dict[str, None]] = {}
        for trial in self.trials:
            for condition, arm in self.planned_parts(trial).arms.items():
                of = trial.arms[condition]
                for file in arm.input_files() if of.answers is None else ():
                    task = TASKS[PurePosixPath(file).name.partition(".")[0]]
                    if type(task).schema is not Task.schema:
                        found.setdefault(f"{of.backend}/{of.model}", {})[file] = None
        return {asked: list(files) for asked, files in found.items()}

    def parts_with_schemas(self, wildcards: Wildcards) -> list[str]:
        """Those of one model, whose check reads them; of all models without wildcards."""
        if "model" in wildcards.keys():  # noqa: SIM118 - Snakemake's class has no `in`
            return self.schema_parts.get("{backend}/{model}".format(**wildcards), [])
        return sorted({file for files in self.schema_parts.values() for file in files})

    def all_requests(self) -> list[str]:
        """The batch-input parts of all trials, as they are known before anything is asked."""
        parts = map(self.planned_parts, self.trials)
        return sorted({file for each in parts for file in each.input_files()})

    def all_rewrite_requests(self) -> list[str]:
        """The batch-input parts of all requests that rewrite questions."""
        path = self.layout.rewrite_requests
        return [path.format(**of._asdict()) for of in self.rewritings]

    def cut_rewritten_requests(self) -> list[str]:
        """The parts that the requests of a job to one model are cut into."""
        return self._cut(self.layout.rewritten_requests)

    def of_all_arms(self, path: str, among: Collection[str] | None = None) -> list[str]:
        """A path of each arm of all trials, for each task, or some of them, and temperature."""
        tasks = trials.tasks(self.config)
        return [
            path.format(**wildcards_of(trial), task=task, condition=condition, temp=temp)
            for trial in self.trials
            for task in tasks
            if among is None or task in among
            for condition in trial.arms
            for temp in trial.temps
        ]

    def benchmark_tasks(self) -> set[str]:
        """The tasks with a data set that is a benchmark of the Hugging Face Hub."""
        return {spec.the_task for spec in self.config.datasets.values() if spec.hub}

    def source_files(self, wildcards: Wildcards) -> list[str]:
        """The file of each data set of a task: the user's own, or the downloaded one."""
        return [
            Path(spec.path or DOWNLOAD.format(dataset=name, file=spec.file_name)).as_posix()
            for name, spec in self.datasets(wildcards["task"]).items()
        ]

    def system_prompt(self, wildcards: Wildcards) -> str:
        """The file of a system prompt."""
        return prompt_path(self.prompts[wildcards["prompt"]].system_prompt).as_posix()

    def answers_file(self, wildcards: Wildcards) -> str:
        """The file of an arm's answers."""
        return self.answers[wildcards["prompt"]].path

    def templates(self, wildcards: Wildcards) -> dict[str, Path]:
        """By data set of a task, the file of the text around its items; it may be absent."""
        files = arms.template_files(self.config, self.prompts[wildcards["prompt"]])
        return {name: files[name] for name in self.datasets(wildcards["task"])}

    def template_files(self, wildcards: Wildcards) -> list[str]:
        """Those of them that are there, each once."""
        files = self.templates(wildcards).values()
        return list(dict.fromkeys(path.as_posix() for path in files if path.is_file()))

    def scorers(self) -> list[str]:
        """The modules of ours that score the tasks; those of other packages belong to `TASKS`."""
        return _ours(TASKS[task].scored_by for task in trials.tasks(self.config))

    def comparers(self) -> list[str]:
        """The modules of ours that compare the fields of answers for the item viewer."""
        return _ours(TASKS[task].compared_by for task in trials.tasks(self.config))

    def own_metric_files(self) -> list[str]:
        """The user's own metrics."""
        return [Path(metric.file).as_posix() for metric in self.config.metrics.values()]

    def model_files(self, wildcards: Wildcards) -> list[str]:
        """The model's own file, if it is one on this machine."""
        file = self.model(wildcards).model_file
        return [Path(file).as_posix()] if file else []

    def tokenizer_files(self, wildcards: Wildcards) -> list[str]:
        """The files that count the tokens of a trial's prompts, for models that have one."""
        asked = (arm for arm in self.trial(wildcards).arms.values() if arm.answers is None)
        found = (tokenizer_of(self.model_of(arm)).path for arm in asked)
        return sorted({Path(path).as_posix() for path in found if path})

    def budget_files(self, wildcards: Wildcards) -> list[str]:
        """What is found out before a model is asked that costs something, if there is a budget."""
        price = quote(self.model(wildcards), self.config.pricing)
        is_free = price is None or price.is_free
        return [] if self.config.budget_usd is None or is_free else [self.layout.of("budget.txt")]

    # Params

    def contents(self, *paths: str) -> dict[str, str]:
        """The SHA-256 of files that users edit or replace: as a param it decides, not their dates.

        Snakemake compares the content of an input only if the input is newer than the output.

        Raises:
            UserError: one of them cannot be read.
        """
        for path in paths:
            if path not in self._sha256:  # a file is read once a plan
                self._sha256[path] = file_sha256(Path(path))
        return {path: self._sha256[path] for path in paths}

    def source_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """Of a task's own data files, and of those beside them that their rows may name.

        A download is identified by its URL and checksum instead.
        """
        task = wildcards["task"]
        own = [Path(spec.path) for spec in self.datasets(task).values() if spec.path]
        pattern = TASKS[task].beside
        beside = {file for path in own for file in path.parent.glob(pattern)} if pattern else set()
        further = [file for file in TASKS[task].item_files if file.is_file()]
        return self.contents(*(path.as_posix() for path in (*own, *sorted(beside), *further)))

    def source_arguments(self, wildcards: Wildcards, input: Any) -> list[str]:
        """``NAME=FILE`` for each data set of a task."""
        names = self.datasets(wildcards["task"])
        return [f"{name}={path}" for name, path in zip(names, input.sources, strict=True)]

    def prompt_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """Of the texts that requests are made from."""
        return self.contents(self.system_prompt(wildcards), *self.template_files(wildcards))

    def answers_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """Of the file of an arm's answers."""
        return self.contents(self.answers_file(wildcards))

    def tokenizer_contents(self, wildcards: Wildcards) -> dict[str, str]:
        """Of the files that count tokens."""
        return self.contents(*self.tokenizer_files(wildcards))

    def gpus(self, wildcards: Wildcards) -> int:
        """1 for a job that occupies a GPU of this machine."""
        return int(self.model(wildcards).takes_turns_on == "gpu")

    def cpu_models(self, wildcards: Wildcards) -> int:
        """1 for a job whose model computes on this machine's CPU alone; such jobs take turns."""
        return int(self.model(wildcards).takes_turns_on == "cpu_model")

    def turn(self, wildcards: Wildcards) -> int:
        """The priority of a job that asks: all parts of one local model come before the next's."""
        if self.model(wildcards).takes_turns_on is None:
            return 0
        return -list(self.models).index((wildcards["backend"], wildcards["model"]))


def _all(names: list[str]) -> list[str]:
    return names


def _ours(places: Iterable[str]) -> list[str]:
    """The modules of ``module:object`` that this package has, each once."""
    modules = {place.partition(":")[0] for place in places}
    return sorted(module for module in modules if module.startswith("workflow_scripts."))


def wildcards_of(trial: Trial) -> dict[str, str]:
    """The wildcards of a trial's files."""
    return {
        "backend": trial.backend,
        "model": trial.model,
        "decoding": trial.decoding_name,
        "prompt_set": trial.prompt_set,
    }


def judged_name(trial: Trial) -> str:
    """The name that requests of judges about a trial carry in the place of a prompt's."""
    place = TRIAL.format(**wildcards_of(trial))
    return f"{trial.prompt_set}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint: exactly one of the names; without names, one that never matches."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"


@dataclass(frozen=True)
class Job:
    """What the settings of a job are cut for: its wildcards, and the waves that it reads."""

    experiment: Experiment
    wildcards: Wildcards
    waves: slice = field(default_factory=lambda: ALL_WAVES)

    @property
    def config(self) -> Config:
        """The whole config."""
        return self.experiment.config

    @property
    def trial(self) -> Trial:
        """The trial that the job is about."""
        return self.experiment.trial(self.wildcards)

    @property
    def model(self) -> BackendSettings:
        """The settings of the model that the job is about."""
        return self.experiment.model(self.wildcards)

    @property
    def parts(self) -> TrialParts:
        """The parts that the job reads."""
        return self.experiment.parts(self.trial, self.waves)
