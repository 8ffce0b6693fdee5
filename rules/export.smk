# Results in the forms that papers and other programs take: `snakemake exports` makes all of them.


rule table:
    """One trial's results as a table: table.md and table.tex."""
    input:
        significance="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/significance.json",
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
        settings=table_settings,
    output:
        markdown="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/table.md",
        latex="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/table.tex",
    log:
        "results/{experiment}/logs/table/{backend}/{model}/{decoding}/{prompt_set}.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.export.table"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.table --settings {input.settings}"
        " --markdown {output.markdown} --latex {output.latex} 2> {log}"


use rule table as table_of_all_trials with:
    input:
        significance=files_of_all_trials("significance.json"),
        scores=files_of_all_trials("per_item_scores.csv"),
        settings=FRONT_SETTINGS,
    output:
        markdown=f"results/{EXPERIMENT}/table.md",
        latex=f"results/{EXPERIMENT}/table.tex",
    log:
        f"results/{EXPERIMENT}/logs/table.log",


rule parquet:
    """Predictions and scores as Parquet: the rows and columns of the CSV files, with their types."""
    input:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/predictions.csv",
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
    output:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/predictions.parquet",
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.parquet",
    log:
        "results/{experiment}/logs/parquet/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/parquet/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.export.parquet"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.parquet --predictions {input.predictions}"
        " --scores {input.scores} --predictions-output {output.predictions}"
        " --scores-output {output.scores} 2> {log}"


rule inspect_log:
    """One arm's answers to a task at a temperature, as a log for Inspect AI's viewer."""
    input:
        requests=input_parts_of_log,
        raw=raw_parts_of_log,
        outcomes="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/outcomes.csv",
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/per_item_scores.csv",
        item_file="results/{experiment}/items/{task}.jsonl",
        settings=inspect_settings,
    output:
        "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/inspect/{task}.{condition}.t{temp}.eval",
    log:
        "results/{experiment}/logs/inspect/{backend}/{model}/{decoding}/{prompt_set}/{task}.{condition}.t{temp}.log",
    benchmark:
        "results/{experiment}/benchmarks/inspect/{backend}/{model}/{decoding}/{prompt_set}/{task}.{condition}.t{temp}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.export.inspect_log"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.inspect_log --settings {input.settings}"
        " --items {input.item_file} --outcomes {input.outcomes} --scores {input.scores}"
        " --output {output} 2> {log}"
