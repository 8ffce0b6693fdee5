# One part as jobs of a provider's batch API: submitted, completed, and its raw part.
#
# Waiting holds no core. What is submitted is waited for before more is submitted (priority), so
# that never more than `batch_jobs` parts are with the provider.


localrules:
    submit,
    poll,
    collect,
    jobs,


rule submit:
    """The part's unanswered requests are with the provider: jobs/….submitted.json."""
    input:
        requests=EXPERIMENT.part_requests,
        checked=LAYOUT.check,
        compared=EXPERIMENT.differences_of_part if BINDING.config.arms else [],
    output:
        LAYOUT.batch_job("submitted"),
    log:
        LAYOUT.log("submit", PART),
    wildcard_constraints:
        backend=one_of(EXPERIMENT.batched),
    priority: 1
    resources:
        batch_jobs=1,
    params:
        settings=BINDING.sending_settings("infer"),
        decided_by=BINDING.decided_by,
        attempts_with_failures=BINDING.attempts_with_failures,
    message:
        f"Submit to {OF_PART}"
    shell:
        "python -m workflow_scripts.answers.submit --requests {input.requests}"
        " --settings {params.settings} --journal results/journal --output {output} 2> {log}"


rule poll:
    """The part's jobs have come to their end: jobs/….completed.json."""
    input:
        submitted=LAYOUT.batch_job("submitted"),
    output:
        LAYOUT.batch_job("completed"),
    log:
        LAYOUT.log("poll", PART),
    wildcard_constraints:
        backend=one_of(EXPERIMENT.batched),
    priority: 2
    threads: 0
    resources:
        batch_jobs=1,
    params:
        settings=BINDING.sending_settings("infer"),
    message:
        f"Wait for {OF_PART}"
    shell:
        "python -m workflow_scripts.answers.poll --submitted {input.submitted}"
        " --settings {params.settings} --journal results/journal --output {output} 2> {log}"


rule collect:
    """The answers of the part's jobs: raw/{task}.{prompt}.t{temp}.p{part}.jsonl."""
    input:
        requests=EXPERIMENT.part_requests,
        completed=LAYOUT.batch_job("completed"),
    output:
        LAYOUT.raw,
    log:
        LAYOUT.log("collect", PART),
    benchmark:
        LAYOUT.benchmark("collect", PART)
    wildcard_constraints:
        backend=one_of(EXPERIMENT.batched),
    priority: 3
    threads: 0
    resources:
        batch_jobs=1,
    params:
        settings=BINDING.sending_settings("infer"),
    message:
        f"Collect from {OF_PART}"
    shell:
        "python -m workflow_scripts.answers.collect --requests {input.requests}"
        " --completed {input.completed} --settings {params.settings} --journal results/journal"
        " --output {output} 2> {log}"


rule jobs:
    """Which batch jobs are at the providers, and how to cancel them or send their rest again."""
    input:
        settings=settings("jobs"),
    log:
        LAYOUT.log("jobs"),
    message:
        "Look at the batch jobs of all configured providers"
    shell:
        "python -m workflow_scripts.answers.jobs --settings {input.settings}"
        " --journal results/journal --log {log}"
