rule costs:
    """Money, tokens and time by condition, and prompt lengths: costs.json, local_costs.json, audit.json."""
    input:
        answers=LAYOUT.trial("answers.csv"),
        requests=requests(),
        rewriting=EXPERIMENT.rewriting_files,
        telemetry=BINDING.telemetry,
        tokenizers=ancient(EXPERIMENT.tokenizer_files),
        settings=settings("costs", asked),
    output:
        costs=shown("costs.json", "costs", "Costs"),
        local_costs=LAYOUT.trial("local_costs.json"),
        audit=LAYOUT.trial("audit.json"),
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
        "python -m workflow_scripts.costs.trial --settings {input.settings} --answers {input.answers}"
        " --costs {output.costs} --local-costs {output.local_costs} --audit {output.audit}"
        " --seal {output.seal} 2> {log}"
