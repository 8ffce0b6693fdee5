# Some requests are sent a second time (`retest`), to see how often answers change by themselves.
# They are parts like all others: rules/infer.smk and rules/batch.smk send them.


rule retest_requests:
    """The requests of a prompt and task that are sent again: inputs/{decoding}-retest/…."""
    input:
        requests=EXPERIMENT.drawn_from,
        planned=[],
    output:
        LAYOUT.retest_requests,
    log:
        LAYOUT.log("retest_requests", REQUESTS),
    wildcard_constraints:
        decoding=one_of(EXPERIMENT.decodings),
    params:
        share=BINDING.config.retest,
        seed=BINDING.config.seed,
        code=code("requests.retest"),
    message:
        "Draw requests to send again: {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}"
    shell:
        "python -m workflow_scripts.requests.retest --requests {input.requests}"
        " --planned {input.planned} --share {params.share} --seed {params.seed} --output {output} 2> {log}"


use rule retest_requests as retest_requests_rewritten with:
    """The same for one model that rewrote the questions: the same passages are sent again."""
    input:
        requests=EXPERIMENT.rewritten_drawn_from,
        # What the plan counts until these are made; their seal says that they belong together.
        planned=LAYOUT.retest_requests,
    output:
        LAYOUT.rewritten_retest_requests,
    log:
        LAYOUT.log("retest_requests", f"{MODEL}/{REQUESTS}"),
    wildcard_constraints:
        decoding=one_of(EXPERIMENT.decodings),
        prompt=one_of(EXPERIMENT.rewritten_prompts),


rule retest:
    """How often a trial's answers changed when requests were sent again: retest.json."""
    input:
        raw=EXPERIMENT.retested_raw,
        settings=settings("retest"),
    output:
        retest=LAYOUT.trial(RETEST_FILE),
        seal=LAYOUT.seal("retest"),
    log:
        LAYOUT.log("retest", TRIAL),
    params:
        code=code("comparisons.retest"),
    message:
        f"Compare answers to requests that were sent twice: {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.comparisons.retest --settings {input.settings}"
        " --output {output.retest} --seal {output.seal} 2> {log}"
