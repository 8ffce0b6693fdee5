# Results in the forms that papers and other programs take: `snakemake exports` makes all of them.


rule table:
    """One trial's results as a table: table.md and table.tex."""
    input:
        significance=LAYOUT.trial("significance.json"),
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        settings=settings("table"),
    output:
        markdown=LAYOUT.trial("table.md"),
        latex=LAYOUT.trial("table.tex"),
    log:
        LAYOUT.log("table", TRIAL),
    params:
        code=code("export.table"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.table --settings {input.settings}"
        " --markdown {output.markdown} --latex {output.latex} 2> {log}"


use rule table as table_of_all_trials with:
    input:
        significance=EXPERIMENT.of_all_trials("significance.json"),
        scores=EXPERIMENT.of_all_trials("per_item_scores.csv", "metrics.json"),
        settings=settings("front"),
    output:
        markdown=LAYOUT.of("table.md"),
        latex=LAYOUT.of("table.tex"),
    log:
        LAYOUT.log("table"),


rule parquet:
    """Predictions and scores as Parquet: the rows and columns of the CSV files, with their types."""
    input:
        predictions=LAYOUT.trial("predictions.csv"),
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        retrieved=EXPERIMENT.retrieved,
        settings=settings("parquet"),
    output:
        predictions=LAYOUT.trial("predictions.parquet"),
        scores=LAYOUT.trial("per_item_scores.parquet"),
    log:
        LAYOUT.log("parquet", TRIAL),
    benchmark:
        LAYOUT.benchmark("parquet", TRIAL)
    params:
        code=code("export.parquet"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.parquet --settings {input.settings}"
        " --predictions {input.predictions} --scores {input.scores} --predictions-output {output.predictions}"
        " --scores-output {output.scores} 2> {log}"


rule inspect_log:
    """One arm's answers to a task at a temperature, as a log for Inspect AI's viewer."""
    input:
        requests=BINDING.requests_of_log,
        answers=LAYOUT.trial("answers.csv"),
        outcomes=LAYOUT.trial("outcomes.csv"),
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        provenance=LAYOUT.trial("provenance.json"),
        item_file=LAYOUT.items,
        retrieved=EXPERIMENT.retrieved_of_arm,
        settings=settings("inspect_log", asked),
    output:
        LAYOUT.inspect_log,
    log:
        LAYOUT.log("inspect_log", ARM),
    benchmark:
        LAYOUT.benchmark("inspect_log", ARM)
    params:
        code=code("export.inspect_log"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.inspect_log --settings {input.settings}"
        " --items {input.item_file} --answers {input.answers} --outcomes {input.outcomes}"
        " --scores {input.scores} --provenance {input.provenance} --output {output} 2> {log}"


rule every_eval_ever:
    """The same in the format Every Eval Ever: a folder to copy into its data store."""
    input:
        requests=BINDING.requests_of_log,
        answers=LAYOUT.trial("answers.csv"),
        outcomes=LAYOUT.trial("outcomes.csv"),
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        provenance=LAYOUT.trial("provenance.json"),
        item_file=LAYOUT.items,
        retrieved=EXPERIMENT.retrieved_of_arm,
        settings=settings("evaluation", asked),
    output:
        directory(LAYOUT.evaluation),
    log:
        LAYOUT.log("evaluation_records", ARM),
    params:
        code=code("export.every_eval_ever"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.every_eval_ever --settings {input.settings}"
        " --items {input.item_file} --answers {input.answers} --outcomes {input.outcomes}"
        " --scores {input.scores} --provenance {input.provenance} --output {output} 2> {log}"


rule hub_results:
    """One arm's scores on benchmarks of the Hugging Face Hub, for .eval_results/."""
    input:
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        provenance=LAYOUT.trial("provenance.json"),
        item_file=LAYOUT.items,
        settings=settings("evaluation", asked),
    output:
        LAYOUT.hub_results,
    log:
        LAYOUT.log("hub_results", ARM),
    params:
        code=code("export.hub_results"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.hub_results --settings {input.settings}"
        " --items {input.item_file} --scores {input.scores} --provenance {input.provenance}"
        " --output {output} 2> {log}"


rule run_crate:
    """A trial's files and how each was made, as a Provenance Run Crate: ro-crate.zip."""
    input:
        provenance=LAYOUT.trial("provenance.json"),
        trial=settings("trial"),
        workflow="Snakefile",
    output:
        LAYOUT.run_crate,
    log:
        LAYOUT.log("run_crate", TRIAL),
    params:
        code=code("export.run_crate"),
    message:
        "Write {output}"
    shell:
        "python -m workflow_scripts.export.run_crate --trial {input.trial}"
        " --provenance {input.provenance} --workflow {input.workflow} --output {output} 2> {log}"
