rule costs:
    """Money by condition, and the tokens that it was paid for: costs.json."""
    input:
        raw=raw_parts,
        requests=input_parts,
        tokenizer=ancient(tokenizer_files),
        settings=cost_settings,
    output:
        costs=report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/costs.json",
            caption="../docs/report/costs.rst",
            category="Costs",
            labels={
                "file": "costs.json",
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/costs.json",
    log:
        "results/{experiment}/logs/costs/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/costs/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        contents=tokenizer_contents,
        code=code_digest("workflow_scripts.costs.trial"),
    message:
        "Add up the costs of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.costs.trial --settings {input.settings}"
        " --output {output.costs} --seal {output.seal} 2> {log}"


rule local_costs:
    """Tokens and latency by condition: local_costs.json."""
    input:
        raw=raw_parts,
        settings=local_cost_settings,
    output:
        local_costs="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/local_costs.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/local_costs.json",
    log:
        "results/{experiment}/logs/local_costs/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/local_costs/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.costs.local"),
    message:
        "Count tokens and time of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.costs.local --settings {input.settings}"
        " --output {output.local_costs} --seal {output.seal} 2> {log}"


rule audit:
    """Prompt lengths in tokens of the trial's own model: audit.json."""
    input:
        requests=input_parts,
        tokenizer=ancient(tokenizer_files),
        settings=audit_settings,
    output:
        audit="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/audit.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/audit.json",
    log:
        "results/{experiment}/logs/audit/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/audit/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        contents=tokenizer_contents,
        code=code_digest("workflow_scripts.costs.audit"),
    message:
        "Measure the prompts of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.costs.audit --settings {input.settings}"
        " --output {output.audit} --seal {output.seal} 2> {log}"
