rule trial_report:
    """One trial as a page: report.html."""
    input:
        requests=input_parts,
        raw=raw_parts,
        parts=local_cost_settings,
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/errors.csv",
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
        significance="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/significance.json",
        selective_risk="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/selective_risk.json",
        power="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/power.json",
        local_costs="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/local_costs.json",
        costs="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/costs.json",
        cost_effectiveness="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/cost_effectiveness.json",
        audit="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/audit.json",
        item_files=item_files,
        trial=trial_settings,
    output:
        report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/report.html",
            caption="../docs/report/trial.rst",
            category="Trials",
            labels={
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
    log:
        "results/{experiment}/logs/report/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/report/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.report.trial"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.report.trial --trial {input.trial}"
        " --parts {input.parts} --errors {input.errors} --scores {input.scores}"
        " --significance {input.significance} --local-costs {input.local_costs}"
        " --costs {input.costs} --audit {input.audit}"
        " --selective-risk {input.selective_risk} --power {input.power}"
        " --cost-effectiveness {input.cost_effectiveness}"
        " --items {input.item_files} --output {output} 2> {log}"


rule front_page:
    """All trials of the experiment, compared: results/report.html."""
    input:
        reports=files_of_all_trials("report.html"),
        significance=files_of_all_trials("significance.json"),
        costs=files_of_all_trials("local_costs.json", "costs.json"),
        settings=FRONT_SETTINGS,
    output:
        report(
            "results/report.html",
            caption="../docs/report/front.rst",
            category="Overview",
            labels={"page": "all trials"},
        ),
    log:
        "results/logs/report.log",
    benchmark:
        "results/logs/report.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.report.front"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.report.front --settings {input.settings}"
        " --output {output} 2> {log}"
