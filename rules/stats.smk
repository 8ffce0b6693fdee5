rule stats:
    """What the scores say about the treatments: significance.json."""
    input:
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
        item_files=item_files,
        settings=stats_settings,
    output:
        "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/significance.json",
    log:
        "results/{experiment}/logs/stats/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/stats/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.stats.contrasts"),
    message:
        "Test the differences of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.stats.contrasts --scores {input.scores}"
        " --items {input.item_files} --settings {input.settings} --output {output} 2> {log}"
