rule score:
    """Each item's scores under each condition, and what became of each request."""
    input:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/predictions.csv",
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/errors.csv",
        requests=input_parts,
        parse_settings=parse_settings,
        item_files=item_files,
        settings=score_settings,
        model=ancient(CONFIG.unsupported.model_files),
        own_metrics=[metric.file for metric in CONFIG.metrics.values()],
    output:
        scores=report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
            caption="../docs/report/scores.rst",
            category="Answers and scores",
            labels={
                "file": "per_item_scores.csv",
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
        outcomes="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/outcomes.csv",
        metrics="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/metrics.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/score.json",
    log:
        "results/{experiment}/logs/score/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    # An entailment model takes all cores, so that two of them do not fight over these.
    threads: workflow.cores if CONFIG.unsupported.model_files else 1
    params:
        contents=scoring_contents,
        code=code_digest("workflow_scripts.scoring.items"),
    message:
        "Score {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.scoring.items --predictions {input.predictions}"
        " --errors {input.errors} --parse-settings {input.parse_settings}"
        " --items {input.item_files} --settings {input.settings}"
        " --output {output.scores} --outcomes {output.outcomes} --metrics {output.metrics}"
        " --seal {output.seal} 2> {log}"


rule unsupported_sensitivity:
    """How much depends on the threshold of unsupported answers: unsupported_sensitivity.json."""
    input:
        outcomes="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/outcomes.csv",
        item_files=item_files,
        settings=sensitivity_settings,
    output:
        sweep="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/unsupported_sensitivity.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/unsupported_sensitivity.json",
    log:
        "results/{experiment}/logs/unsupported_sensitivity/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/unsupported_sensitivity/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.scoring.sensitivity"),
    message:
        "Sweep the threshold of unsupported answers: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.scoring.sensitivity --outcomes {input.outcomes}"
        " --items {input.item_files} --settings {input.settings} --output {output.sweep}"
        " --seal {output.seal} 2> {log}"
