# Asking in waves (stats.registration.waves): after each wave its scores decide whether the primary
# question is settled; the parts of the waves after that are not asked (`asked` in common.smk).


use rule parse as parse_wave with:
    input:
        requests=requests(this_wave),
        raw=raw(this_wave),
        settings=settings("parse", this_wave),
    output:
        answers=LAYOUT.wave("answers.csv"),
        predictions=LAYOUT.wave("predictions.csv"),
        errors=LAYOUT.wave("errors.csv"),
        seal=LAYOUT.wave("seals/parse.json"),
    log:
        LAYOUT.log("parse", WAVE),
    benchmark:
        LAYOUT.benchmark("parse", WAVE)
    message:
        f"Gather the answers of wave {{wildcards.wave}}: {OF_TRIAL}"


use rule score as score_wave with:
    input:
        predictions=LAYOUT.wave("predictions.csv"),
        errors=LAYOUT.wave("errors.csv"),
        answers=LAYOUT.wave("answers.csv"),
        item_files=ITEMS,
        settings=settings("score"),
        model=ancient(ENTAILMENT),
        own_metrics=EXPERIMENT.own_metric_files(),
        verdicts=[],
        retrieved=EXPERIMENT.retrieved,
    output:
        scores=LAYOUT.wave("per_item_scores.csv"),
        outcomes=LAYOUT.wave("outcomes.csv"),
        metrics=LAYOUT.wave("metrics.json"),
        seal=LAYOUT.wave("seals/score.json"),
    log:
        LAYOUT.log("score", WAVE),
    benchmark:
        LAYOUT.benchmark("score", WAVE)
    message:
        f"Score wave {{wildcards.wave}}: {OF_TRIAL}"


checkpoint wave:
    """Whether the waves so far settle the primary question: waves/{wave}/decision.json."""
    input:
        scores=BINDING.scores_of_waves,
        metrics=BINDING.metrics_of_waves,
        item_files=ITEMS,
        requests=requests(BINDING.planned),
        settings=settings("wave", BINDING.waves_so_far),
    output:
        decision=LAYOUT.wave("decision.json"),
        seal=LAYOUT.wave("seals/wave.json"),
    log:
        LAYOUT.log("wave", WAVE),
    params:
        code=code("comparisons.sequential"),
    message:
        f"Decide after wave {{wildcards.wave}}: {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.comparisons.sequential --scores {input.scores}"
        " --items {input.item_files} --settings {input.settings}"
        " --output {output.decision} --seal {output.seal} 2> {log}"
