localrules:
    check,
    check_backend,


rule check:
    """Can the configured backends answer? Prints what is ok and what to do. Costs nothing."""
    log:
        f"results/{EXPERIMENT}/logs/check.log",
    conda:
        "../envs/assay.yaml"
    params:
        settings=check_settings,
    message:
        "Look at all configured backends"
    shell:
        "python -m workflow_scripts.backends.check --settings {params.settings} --log {log}"


rule check_backend:
    """A backend was looked at, so that its jobs do not all fail for one reason: check.txt."""
    output:
        "results/{experiment}/{backend}/{model}/check.txt",
    log:
        "results/{experiment}/logs/check/{backend}/{model}.log",
    conda:
        "../envs/assay.yaml"
    params:
        settings=check_one_settings,
    message:
        "Look at {wildcards.model} ({wildcards.backend})"
    shell:
        "python -m workflow_scripts.backends.check --settings {params.settings}"
        " --log {log} --output {output}"


rule infer:
    """The answers to one part: raw/{task}.{prompt}.t{temp}.p{part}.jsonl.

    Request by request; jobs of batch APIs are made in rules/batch.smk. No code digest: answers
    change only when what is sent changes.
    """
    input:
        requests="results/{experiment}/inputs/{decoding}/{task}.{prompt}.t{temp}.p{part}.jsonl",
        model=ancient(model_files),
        checked="results/{experiment}/{backend}/{model}/check.txt",
        budget=budget,
    output:
        RAW_PART,
    log:
        "results/{experiment}/logs/infer/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.log",
    benchmark:
        "results/{experiment}/benchmarks/infer/{backend}/{model}/{decoding}/{task}.{prompt}.t{temp}.p{part}.tsv"
    wildcard_constraints:
        backend=one_of(NOT_BATCHED),
    conda:
        "../envs/assay.yaml"
    resources:
        gpu=gpus,
    params:
        settings=infer_settings,
        decided_by=decided_by,
        attempts_with_failures=attempts_with_failures,
    message:
        "Ask {wildcards.model} ({wildcards.backend}): {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}, part {wildcards.part}"
    shell:
        "python -m workflow_scripts.answers.send --requests {input.requests}"
        " --settings {params.settings} --journal results/journal --log {log} --output {output}"
