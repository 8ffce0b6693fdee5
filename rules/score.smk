rule score:
    """Each item's scores under each condition: per_item_scores.csv."""
    input:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/predictions.csv",
        item_files=item_files,
        settings=score_settings,
    output:
        "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
    log:
        "results/{experiment}/logs/score/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.score.items"),
    message:
        "Score {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.score.items --predictions {input.predictions}"
        " --items {input.item_files} --settings {input.settings} --output {output} 2> {log}"
