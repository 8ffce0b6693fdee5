# What is shown is what was asked: no page is written of files that were changed after they were made.


localrules:
    verify,


rule verification:
    """A trial is as it was asked and computed, from the journal to its statistics: verification.json.

    Its seals are inputs so that one that was deleted is made again, with what it speaks for.
    """
    input:
        requests=input_parts,
        raw=raw_parts,
        item_files=item_files,
        results=[f"{TRIAL}/{name}" for name in CHAIN],
        seals=[
            f"{TRIAL}/seals/{name}.json"
            for name in (
                "parse",
                "score",
                "unsupported_sensitivity",
                "stats",
                "costs",
                "local_costs",
                "cost_effectiveness",
                "audit",
            )
        ],
        parse_settings=parse_settings,
    output:
        "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/verification.json",
    log:
        "results/{experiment}/logs/verification/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/verification/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.verify.trial"),
    message:
        "Verify {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.verify.trial --parse-settings {input.parse_settings}"
        " --journal results/journal --output {output} 2> {log}"


rule verify:
    """Verify all trials in results/ by themselves; ends with an error if one was changed."""
    log:
        f"results/{EXPERIMENT}/logs/verify.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.verify.results"),
    message:
        "Verify results/"
    shell:
        "python -m workflow_scripts.verify.results --results results --log {log}"
