rule download:
    """A data set from its URL, once: results/downloads/{dataset}/{file}."""
    input:
        settings=download_settings,
    output:
        "results/downloads/{dataset}/{file}",
    log:
        "results/logs/download/{dataset}.{file}.log",
    conda:
        "../envs/assay.yaml"
    message:
        "Download {wildcards.file} for data set {wildcards.dataset}"
    shell:
        "python -m workflow_scripts.datasets.download --settings {input.settings}"
        " --log {log} --output {output}"


rule items:
    """The canonical items of a task, from its data sets: items/{task}.jsonl.

    Requests are made from questions/{task}.jsonl, the items without their gold answers.
    """
    input:
        sources=source_files,
        settings=prepare_settings,
    output:
        item_file="results/{experiment}/items/{task}.jsonl",
        questions="results/{experiment}/questions/{task}.jsonl",
    log:
        "results/{experiment}/logs/items/{task}.log",
    benchmark:
        "results/{experiment}/benchmarks/items/{task}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        sources=source_arguments,
        contents=own_source_contents,
        code=code_digest("workflow_scripts.datasets.items"),
    message:
        "Prepare the {wildcards.task} items"
    shell:
        "python -m workflow_scripts.datasets.items --task {wildcards.task}"
        " --settings {input.settings} --source {params.sources:q} --output {output.item_file}"
        " --questions {output.questions} 2> {log}"
