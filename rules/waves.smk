# Asking in waves (stats.registration.waves): after each wave its scores decide whether the primary
# question is settled; the parts of the waves after that are not asked (waves_asked in common.smk).


use rule parse as parse_wave with:
    input:
        requests=wave_input_parts,
        raw=wave_raw_parts,
        settings=wave_parse_settings,
    output:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/predictions.csv",
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/errors.csv",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/seals/parse.json",
    log:
        "results/{experiment}/logs/parse/{backend}/{model}/{decoding}/{prompt_set}.wave{wave}.log",
    benchmark:
        "results/{experiment}/benchmarks/parse/{backend}/{model}/{decoding}/{prompt_set}.wave{wave}.tsv"
    message:
        "Gather the answers of wave {wildcards.wave}: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"


use rule score as score_wave with:
    input:
        predictions="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/predictions.csv",
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/errors.csv",
        requests=wave_input_parts,
        parse_settings=wave_parse_settings,
        item_files=item_files,
        settings=score_settings,
        model=ancient(CONFIG.unsupported.model_files),
        own_metrics=[metric.file for metric in CONFIG.metrics.values()],
    output:
        scores="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/per_item_scores.csv",
        outcomes="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/outcomes.csv",
        metrics="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/metrics.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/seals/score.json",
    log:
        "results/{experiment}/logs/score/{backend}/{model}/{decoding}/{prompt_set}.wave{wave}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/{backend}/{model}/{decoding}/{prompt_set}.wave{wave}.tsv"
    message:
        "Score wave {wildcards.wave}: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"


checkpoint wave:
    """Whether the waves so far settle the primary question: waves/{wave}/decision.json."""
    input:
        scores=scores_of_waves,
        item_files=item_files,
        requests=planned_input_parts,
        settings=wave_settings,
    output:
        decision="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/decision.json",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/waves/{wave}/seals/wave.json",
    log:
        "results/{experiment}/logs/wave/{backend}/{model}/{decoding}/{prompt_set}.wave{wave}.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.comparisons.sequential"),
    message:
        "Decide after wave {wildcards.wave}: {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.comparisons.sequential --scores {input.scores}"
        " --items {input.item_files} --settings {input.settings}"
        " --output {output.decision} --seal {output.seal} 2> {log}"
