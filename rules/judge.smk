# Models that judge the responses, and people's labels. A judge's requests are parts like all others:
# rules/infer.smk and rules/batch.smk send them.


rule judge_requests:
    """What a judge is asked about the responses of a trial, cut into batch-input parts."""
    input:
        predictions=EXPERIMENT.judged_predictions,
        item_files=ITEMS,
        retrieved=EXPERIMENT.judged_retrieved,
        settings=settings("judge"),
    output:
        EXPERIMENT.cut_judge_requests(),
    log:
        LAYOUT.log("judge_requests", "{judge}.{judged_trial}"),
    params:
        stem=subpath(output[0], strip_suffix=".p000.jsonl"),
        code=code("judges.requests"),
    message:
        "Build requests of judge {wildcards.judge} about {wildcards.judged_trial}"
    shell:
        "python -m workflow_scripts.judges.requests --predictions {input.predictions}"
        " --items {input.item_files} --settings {input.settings} --output-stem {params.stem} 2> {log}"


rule verdicts:
    """What judges and people say of a trial's responses: verdicts.csv."""
    input:
        predictions=LAYOUT.trial("predictions.csv"),
        item_files=ITEMS,
        raw=EXPERIMENT.judge_raw,
        files=EXPERIMENT.verdict_files(),
        retrieved=EXPERIMENT.retrieved,
        settings=settings("verdicts"),
    output:
        verdicts=LAYOUT.trial("verdicts.csv"),
        seal=LAYOUT.seal("verdicts"),
    log:
        LAYOUT.log("verdicts", TRIAL),
    params:
        contents=BINDING.verdict_contents,
        code=code("scoring.verdicts"),
    message:
        f"Gather the verdicts on {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.scoring.verdicts --predictions {input.predictions}"
        " --items {input.item_files} --settings {input.settings} --output {output.verdicts}"
        " --seal {output.seal} 2> {log}"


rule judgements:
    """How far the verdicts can be trusted, and the difference that labels correct: judgements.json."""
    input:
        predictions=LAYOUT.trial("predictions.csv"),
        outcomes=LAYOUT.trial("outcomes.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        verdicts=LAYOUT.trial("verdicts.csv"),
        item_files=ITEMS,
        raw=EXPERIMENT.judge_raw,
        files=EXPERIMENT.verdict_files(),
        settings=settings("judgements"),
    output:
        judgements=LAYOUT.trial("judgements.json"),
        seal=LAYOUT.seal("judgements"),
    log:
        LAYOUT.log("judgements", TRIAL),
    params:
        contents=BINDING.verdict_contents,
        code=code("comparisons.judgements"),
    message:
        f"Hold the verdicts on {OF_TRIAL} against people's"
    shell:
        "python -m workflow_scripts.comparisons.judgements --predictions {input.predictions}"
        " --outcomes {input.outcomes} --verdicts {input.verdicts} --items {input.item_files}"
        " --settings {input.settings} --output {output.judgements} --seal {output.seal} 2> {log}"
