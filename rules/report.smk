rule provenance:
    """Where a trial's numbers come from: provenance.json.

    Commit, versions and machine are looked up when the job runs and are no reason to run it again:
    they are to tell how the results were made, not how the next ones would be.
    """
    input:
        requests=input_parts,
        raw=raw_parts,
        results=[f"{TRIAL}/{name}" for name in (*CHAIN, "verification.json")],
        item_files=item_files,
        parse_settings=parse_settings,
        trial=trial_settings,
        budget=budget,  # no file: `steps` asks for the checkpoint that the answers wait for
    output:
        "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/provenance.json",
    log:
        "results/{experiment}/logs/provenance/{backend}/{model}/{decoding}/{prompt_set}.log",
    conda:
        "../envs/assay.yaml"
    params:
        steps=steps_file,
        code=code_digest("workflow_scripts.report.provenance"),
    message:
        "Look up where the numbers come from: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.report.provenance --trial {input.trial}"
        " --parse-settings {input.parse_settings} --steps {params.steps}"
        " --journal results/journal --output {output} 2> {log}"


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
        outcomes="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/outcomes.csv",
        provenance="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/provenance.json",
        verification="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/verification.json",
        item_files=item_files,
        trial=trial_settings,
    output:
        page=report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/report.html",
            caption="../docs/report/trial.rst",
            category="Trials",
            labels={
                "file": "report.html",
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
        data="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/report.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/trial_report.json",
    log:
        "results/{experiment}/logs/report/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/report/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.report.trial"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.trial --trial {input.trial}"
        " --parts {input.parts} --errors {input.errors} --scores {input.scores}"
        " --significance {input.significance} --local-costs {input.local_costs}"
        " --costs {input.costs} --audit {input.audit}"
        " --selective-risk {input.selective_risk} --power {input.power}"
        " --cost-effectiveness {input.cost_effectiveness}"
        " --outcomes {input.outcomes} --provenance {input.provenance}"
        " --verification {input.verification} --items {input.item_files}"
        " --output {output.page} --json {output.data} --seal {output.seal} 2> {log}"


rule front_page:
    """All trials of the experiment, compared: results/{experiment}/report.html."""
    input:
        reports=files_of_all_trials("report.html"),
        significance=files_of_all_trials("significance.json"),
        scores=files_of_all_trials("per_item_scores.csv", "predictions.csv"),
        item_files=item_files,
        costs=files_of_all_trials("local_costs.json", "costs.json"),
        verifications=files_of_all_trials("verification.json"),
        settings=FRONT_SETTINGS,
    output:
        page=report(
            f"results/{EXPERIMENT}/report.html",
            caption="../docs/report/front.rst",
            category="Overview",
            labels={"file": "report.html, all trials"},
        ),
        data=f"results/{EXPERIMENT}/report.json",
        seal=f"results/{EXPERIMENT}/seals/front_page.json",
    log:
        f"results/{EXPERIMENT}/logs/report.log",
    benchmark:
        f"results/{EXPERIMENT}/benchmarks/report.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.report.front"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.front --settings {input.settings}"
        " --items {input.item_files} --output {output.page} --json {output.data}"
        " --seal {output.seal} 2> {log}"


rule index:
    """The page to open: results/report.html, the experiment's page or a list of experiments."""
    input:
        page=f"results/{EXPERIMENT}/report.html",
        data=f"results/{EXPERIMENT}/report.json",
    output:
        page="results/report.html",
        seal="results/seals/index.json",
    log:
        "results/logs/report.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.report.index"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.index --results results --output {output.page}"
        " --seal {output.seal} 2> {log}"
