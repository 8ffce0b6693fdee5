# The responses that people label. The page and its key file are no outputs: Snakemake deletes the
# outputs of a job before it runs, and somebody may be labelling them.


localrules:
    label,


rule label:
    """A page for each trial on which people label its responses: labels/page.html, labels/key.csv."""
    input:
        tables=EXPERIMENT.of_all_trials("answers.csv", "outcomes.csv", "metrics.json"),
        item_files=ITEMS,
        retrieved=EXPERIMENT.retrieved_of_all_trials(),
        settings=settings("label"),
    log:
        LAYOUT.log("label"),
    params:
        code=code("labels.sample"),
    message:
        "Draw the responses that people label"
    shell:
        "python -m workflow_scripts.labels.sample --settings {input.settings} --log {log}"
