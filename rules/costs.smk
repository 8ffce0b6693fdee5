rule costs:
    """Money by condition, and the tokens that it was paid for: costs.json."""
    input:
        raw=raw(),
        requests=requests(),
        tokenizer=ancient(EXPERIMENT.tokenizer_files),
        settings=settings("costs", asked),
    output:
        costs=shown("costs.json", "costs", "Costs"),
        seal=LAYOUT.seal("costs"),
    log:
        LAYOUT.log("costs", TRIAL),
    benchmark:
        LAYOUT.benchmark("costs", TRIAL)
    params:
        contents=or_exit(EXPERIMENT.tokenizer_contents),
        code=code("costs.trial"),
    message:
        f"Add up the costs of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.costs.trial --settings {input.settings}"
        " --output {output.costs} --seal {output.seal} 2> {log}"


rule local_costs:
    """Tokens and latency by condition: local_costs.json."""
    input:
        raw=raw(),
        settings=settings("local_costs", asked),
    output:
        local_costs=LAYOUT.trial("local_costs.json"),
        seal=LAYOUT.seal("local_costs"),
    log:
        LAYOUT.log("local_costs", TRIAL),
    benchmark:
        LAYOUT.benchmark("local_costs", TRIAL)
    params:
        code=code("costs.local"),
    message:
        f"Count tokens and time of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.costs.local --settings {input.settings}"
        " --output {output.local_costs} --seal {output.seal} 2> {log}"


rule audit:
    """Prompt lengths in tokens of the trial's own model: audit.json."""
    input:
        requests=requests(),
        tokenizer=ancient(EXPERIMENT.tokenizer_files),
        settings=settings("audit", asked),
    output:
        audit=LAYOUT.trial("audit.json"),
        seal=LAYOUT.seal("audit"),
    log:
        LAYOUT.log("audit", TRIAL),
    benchmark:
        LAYOUT.benchmark("audit", TRIAL)
    params:
        contents=or_exit(EXPERIMENT.tokenizer_contents),
        code=code("costs.audit"),
    message:
        f"Measure the prompts of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.costs.audit --settings {input.settings}"
        " --output {output.audit} --seal {output.seal} 2> {log}"
