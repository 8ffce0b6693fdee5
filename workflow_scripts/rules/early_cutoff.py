"""Early cut-off: a job whose inputs come out equal does not run.

Snakemake 9.27 runs every job behind a job that runs, even if the outputs are what they were. Here
each of these jobs is judged again when all jobs before it have finished. It does not run if all of
this holds:

- its outputs exist, whole, with a record of how they were made;
- its params, its set of inputs and its software are those of the record;
- the content of each input has the checksum of the record;
- nobody forced it (``--force``, ``--forcerun``, ``--forceall``).

Then it is finished without running, and the jobs behind it are judged in their turn. A dry run
cannot know what will come out equal, so it lists every job that may run.

Snakemake has no interface for this. These private parts of version 9.27 are used, and
``tests/test_early_cutoff.py`` fails when one of them changes: ``DAG.finish`` (wrapped),
``depending``, ``register_running``, ``reason``, ``forcerules``, ``forcefiles``, ``omitforce``,
``_ready_jobs`` and ``max_checksum_file_size`` of the DAG; ``persistence`` with the comparisons that
planning uses; ``scheduler.finished_jobs`` and ``scheduler.progress``.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any


@functools.cache
def install() -> None:
    """Let the Snakemake of this process cut off early; once is enough."""
    from snakemake.dag import DAG

    finish = DAG.finish

    @functools.wraps(finish)
    async def finish_and_cut_off(
        dag: Any, job: Any, update_checkpoint_dependencies: bool = True
    ) -> bool:
        has_ready_jobs: bool = await finish(dag, job, update_checkpoint_dependencies)
        if dag.workflow.dryrun or dag.workflow.touch or not dag.workflow.is_main_process:
            return has_ready_jobs
        spared: Counter[str] = Counter()
        finished = [job]
        while finished:
            for each in _behind(dag, finished.pop()):
                if each in dag._ready_jobs and await _came_out_equal(dag, each):
                    dag.register_running({each})
                    await finish(dag, each, update_checkpoint_dependencies)
                    finished.append(each)
                    spared[each.rule.name] += 1
        if spared:
            _report(dag.workflow.scheduler, spared)
        return has_ready_jobs

    DAG.finish = finish_and_cut_off


def _behind(dag: Any, job: Any) -> list[Any]:
    """Return the jobs that may be ready because a job has finished.

    A checkpoint that finishes changes the whole graph, and others than its own may become ready.
    """
    if job.is_group():
        return []
    return list(dag._ready_jobs if job.is_checkpoint else dag.depending[job])


async def _came_out_equal(dag: Any, job: Any) -> bool:
    """Whether a job would only do again what the record of its outputs says was done."""
    if job.is_group() or job.group is not None or not job.output:
        return False
    if not dag.reason(job).updated_input_run or _is_forced(dag, job):
        return False
    records = dag.workflow.persistence
    if not all([await file.exists() for file in job.output]) or await records.incomplete(job):
        return False
    if not records.has_metadata(job) or records.has_outdated_metadata(job):
        return False
    if (
        records.params_changed(job)
        or any(records.input_changed(job))
        or any(records.software_stack_changed(job))
    ):
        return False
    return all([await _is_recorded(dag, job, file) for file in job.input])


def _is_forced(dag: Any, job: Any) -> bool:
    """As in ``DAG.update_needrun``, which does not look at jobs behind a job that runs."""
    by_rule = job.rule in dag.forcerules and job not in dag.omitforce
    return by_rule or not dag.forcefiles.isdisjoint(job.output)


async def _is_recorded(dag: Any, job: Any, file: Any) -> bool:
    """Whether an input has the content that all outputs of the job were made from.

    A job's params decide instead of an ``ancient`` input.
    """
    if file.is_ancient:
        return True
    recorded = dag.workflow.persistence.input_checksums(job, file)
    if len(recorded) != 1:
        return False
    return bool(await file.is_same_checksum(*recorded, dag.max_checksum_file_size))


def _report(scheduler: Any, spared: Counter[str]) -> None:
    from snakemake.logging import logger

    names = ", ".join(f"{name} × {count}" for name, count in sorted(spared.items()))
    text = f"Not run, because all inputs came out equal: {names}"
    logger.info(text, extra={"not_run": dict(spared)})  # `terminal` counts them
    scheduler.finished_jobs += spared.total()
    scheduler.progress()
