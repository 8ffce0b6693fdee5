rule parse:
    """A trial's answers as one table: predictions.csv, and errors.csv for failed requests."""
    input:
        requests=input_parts,
        raw=raw_parts,
        settings=parse_settings,
    output:
        predictions=report(
            "results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/predictions.csv",
            caption="../docs/report/predictions.rst",
            category="Answers and scores",
            labels={
                "file": "predictions.csv",
                "backend": "{backend}",
                "model": "{model}",
                "decoding": "{decoding}",
                "prompts": "{prompt_set}",
            },
        ),
        errors="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/errors.csv",
        seal="results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/seals/parse.json",
    log:
        "results/{experiment}/logs/parse/{backend}/{model}/{decoding}/{prompt_set}.log",
    benchmark:
        "results/{experiment}/benchmarks/parse/{backend}/{model}/{decoding}/{prompt_set}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.answers.predictions"),
    message:
        "Gather the answers of {wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
    shell:
        "python -m workflow_scripts.answers.predictions --settings {input.settings}"
        " --predictions {output.predictions} --errors {output.errors} --seal {output.seal} 2> {log}"
