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
        requests="results/{experiment}/inputs/{decoding}/{task}.{prompt}.t{temp}.p{part}.jsonl",
        checked="results/{experiment}/{backend}/{model}/check.txt",
        budget=budget,
    output:
        f"{JOBS}.submitted.json",
    log:
        "results/{experiment}/logs/submit/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.log",
    wildcard_constraints:
        backend=one_of(BATCHED),
    priority: 1
    conda:
        "../envs/assay.yaml"
    resources:
        batch_jobs=1,
    params:
        settings=infer_settings,
        decided_by=decided_by,
        attempts_with_failures=attempts_with_failures,
    message:
        "Submit to {wildcards.model} ({wildcards.backend}): {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}, part {wildcards.part}"
    shell:
        "python -m workflow_scripts.answers.submit --requests {input.requests}"
        " --settings {params.settings} --journal results/journal --log {log} --output {output}"


rule poll:
    """The part's jobs have come to their end: jobs/….completed.json."""
    input:
        submitted=f"{JOBS}.submitted.json",
    output:
        f"{JOBS}.completed.json",
    log:
        "results/{experiment}/logs/poll/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.log",
    wildcard_constraints:
        backend=one_of(BATCHED),
    priority: 2
    conda:
        "../envs/assay.yaml"
    threads: 0
    resources:
        batch_jobs=1,
    params:
        settings=infer_settings,
    message:
        "Wait for {wildcards.model} ({wildcards.backend}): {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}, part {wildcards.part}"
    shell:
        "python -m workflow_scripts.answers.poll --submitted {input.submitted}"
        " --settings {params.settings} --journal results/journal --log {log} --output {output}"


rule collect:
    """The answers of the part's jobs: raw/{task}.{prompt}.t{temp}.p{part}.jsonl."""
    input:
        requests="results/{experiment}/inputs/{decoding}/{task}.{prompt}.t{temp}.p{part}.jsonl",
        completed=f"{JOBS}.completed.json",
    output:
        RAW_PART,
    log:
        "results/{experiment}/logs/collect/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.log",
    benchmark:
        "results/{experiment}/benchmarks/collect/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.tsv"
    wildcard_constraints:
        backend=one_of(BATCHED),
    priority: 3
    conda:
        "../envs/assay.yaml"
    threads: 0
    resources:
        batch_jobs=1,
    params:
        settings=infer_settings,
    message:
        "Collect from {wildcards.model} ({wildcards.backend}): {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}, part {wildcards.part}"
    shell:
        "python -m workflow_scripts.answers.collect --requests {input.requests}"
        " --completed {input.completed} --settings {params.settings} --journal results/journal"
        " --log {log} --output {output}"


rule jobs:
    """Which batch jobs are at the providers, and how to cancel them or send their rest again."""
    log:
        f"results/{EXPERIMENT}/logs/jobs.log",
    conda:
        "../envs/assay.yaml"
    params:
        settings=jobs_settings,
    message:
        "Look at the batch jobs of all configured providers"
    shell:
        "python -m workflow_scripts.answers.jobs --settings {params.settings}"
        " --journal results/journal --log {log}"
