rule score:
    """Each item's scores under each condition, and what became of each request."""
    input:
        predictions=LAYOUT.trial("predictions.csv"),
        errors=LAYOUT.trial("errors.csv"),
        answers=LAYOUT.trial("answers.csv"),
        item_files=ITEMS,
        settings=settings("score"),
        model=ancient(ENTAILMENT),
        own_metrics=EXPERIMENT.own_metric_files(),
        verdicts=EXPERIMENT.verdicts,
        retrieved=EXPERIMENT.retrieved,
    output:
        scores=shown("per_item_scores.csv", "scores", "Answers and scores"),
        outcomes=LAYOUT.trial("outcomes.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        seal=LAYOUT.seal("score"),
    log:
        LAYOUT.log("score", TRIAL),
    benchmark:
        LAYOUT.benchmark("score", TRIAL)
    # An entailment model takes all cores, so that two of them do not fight over these.
    threads: workflow.cores if ENTAILMENT else 1
    params:
        contents=BINDING.scoring_contents,
        retrieved=EXPERIMENT.retrieved_argument,
        code=code("scoring.items", *EXPERIMENT.scorers()),
    message:
        f"Score {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.scoring.items --predictions {input.predictions}"
        " --errors {input.errors} --answers {input.answers}"
        " --items {input.item_files} --settings {input.settings} --verdicts {input.verdicts} {params.retrieved}"
        " --output {output.scores} --outcomes {output.outcomes} --metrics {output.metrics}"
        " --seal {output.seal} 2> {log}"


rule unsupported_sensitivity:
    """How much depends on the threshold of unsupported answers: unsupported_sensitivity.json."""
    input:
        outcomes=LAYOUT.trial("outcomes.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        item_files=ITEMS,
        settings=settings("sensitivity"),
    output:
        sweep=LAYOUT.trial("unsupported_sensitivity.json"),
        seal=LAYOUT.seal("unsupported_sensitivity"),
    log:
        LAYOUT.log("unsupported_sensitivity", TRIAL),
    benchmark:
        LAYOUT.benchmark("unsupported_sensitivity", TRIAL)
    params:
        code=code("scoring.sensitivity"),
    message:
        f"Sweep the threshold of unsupported answers: {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.scoring.sensitivity --outcomes {input.outcomes}"
        " --items {input.item_files} --settings {input.settings} --output {output.sweep}"
        " --seal {output.seal} 2> {log}"
