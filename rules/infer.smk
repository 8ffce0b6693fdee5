localrules:
    check,
    check_backend,
    reread,


rule check:
    """Can the configured backends answer? Prints what is ok and what to do. Costs nothing."""
    input:
        settings=settings("check"),
        requests=EXPERIMENT.parts_with_schemas,
    log:
        LAYOUT.log("check"),
    message:
        "Look at all configured backends"
    shell:
        "python -m workflow_scripts.backends.check --settings {input.settings} --log {log}"


rule check_backend:
    """A backend was looked at, so that its jobs do not all fail for one reason: check.txt.

    The budget is checked first. If check.txt comes out equal, no job behind it runs.
    """
    input:
        budget=EXPERIMENT.budget_files,
        requests=EXPERIMENT.parts_with_schemas,
    output:
        LAYOUT.check,
    log:
        LAYOUT.log("check", MODEL),
    params:
        settings=BINDING.sending_settings("check_one"),
    message:
        "Look at {wildcards.model} ({wildcards.backend})"
    shell:
        "python -m workflow_scripts.backends.check --settings {params.settings}"
        " --output {output} 2> {log}"


rule infer:
    """The answers to one part: raw/{task}.{prompt}.t{temp}.p{part}.jsonl.

    Request by request; jobs of batch APIs are made in rules/batch.smk. No code digest: answers
    change only when what is sent changes.
    """
    input:
        requests=EXPERIMENT.part_requests,
        model=ancient(EXPERIMENT.model_files),
        checked=LAYOUT.check,
        compared=EXPERIMENT.differences_of_part if BINDING.config.arms else [],
    output:
        raw=LAYOUT.raw,
        telemetry=update(LAYOUT.telemetry) if BINDING.config.telemetry else [],
    log:
        LAYOUT.log("infer", PART),
    benchmark:
        LAYOUT.benchmark("infer", PART)
    wildcard_constraints:
        backend=one_of(EXPERIMENT.not_batched),
    priority: EXPERIMENT.turn
    resources:
        gpu=EXPERIMENT.gpus,
        cpu_model=EXPERIMENT.cpu_models,
    params:
        settings=BINDING.sending_settings("infer"),
        decided_by=BINDING.decided_by,
        attempts_with_failures=BINDING.attempts_with_failures,
    message:
        f"Ask {OF_PART}"
    shell:
        "python -m workflow_scripts.answers.send --requests {input.requests}"
        " --settings {params.settings} --journal results/journal --telemetry {output.telemetry}"
        " --output {output.raw} 2> {log}"


rule reread:
    """Read all kept replies again, where this version reads more of them. Sends nothing."""
    log:
        LAYOUT.log("reread"),
    message:
        "Read all kept replies again"
    shell:
        "python -m workflow_scripts.answers.reread --results results --log {log}"
