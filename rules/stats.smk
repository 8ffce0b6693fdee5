rule registration:
    """Whether the primary question was declared before the first answer: registration.json."""
    input:
        raw=raw_parts,
        settings=parse_settings,
        declaration=DECLARATION or [],
    output:
        status="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/registration.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/registration.json",
    log:
        "results/{experiment}/logs/registration/{backend}/{model}/{decoding}/{prompt_set}.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.comparisons.registration"),
    message:
        "Look up when the primary question was declared"
    shell:
        "python -m workflow_scripts.comparisons.registration --declaration {input.declaration}"
        " --settings {input.settings} --journal results/journal"
        " --output {output.status} --seal {output.seal} 2> {log}"


rule stats:
    """What the scores say about the treatments: significance.json and its companions."""
    input:
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/errors.csv",
        item_files=item_files,
        settings=stats_settings,
        registration=registration_files,
        decision=decision_file,
    output:
        significance=report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/significance.json",
            caption="../docs/report/significance.rst",
            category="Comparisons",
            labels={
                "file": "significance.json",
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
        selective_risk="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/selective_risk.json",
        power="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/power.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/stats.json",
    log:
        "results/{experiment}/logs/stats/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/stats/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.comparisons.contrasts"),
    message:
        "Test the differences of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.comparisons.contrasts --scores {input.scores}"
        " --items {input.item_files} --settings {input.settings} --errors {input.errors}"
        " --registration {input.registration} --decision {input.decision}"
        " --significance {output.significance} --selective-risk {output.selective_risk} --power {output.power}"
        " --seal {output.seal} 2> {log}"


rule cost_effectiveness:
    """What an avoided false answer costs: cost_effectiveness.json."""
    input:
        significance="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/significance.json",
        local_costs="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/local_costs.json",
        costs="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/costs.json",
        raw=raw_parts,
        settings=cost_settings,
        item_files=item_files,
    output:
        ratios="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/cost_effectiveness.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/cost_effectiveness.json",
    log:
        "results/{experiment}/logs/cost_effectiveness/{backend}/{model}/{decoding}/{prompt_set}.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.costs.cost_effectiveness"),
    message:
        "Relate costs to false answers: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.costs.cost_effectiveness --significance {input.significance}"
        " --local-costs {input.local_costs} --costs {input.costs} --settings {input.settings}"
        " --items {input.item_files} --output {output.ratios} --seal {output.seal} 2> {log}"
