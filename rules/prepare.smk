rule download:
    """A data set from its URL, once: results/downloads/{dataset}/{file}."""
    output:
        "results/downloads/{dataset}/{file}",
    log:
        "results/logs/download/{dataset}.{file}.log",
    conda:
        "../envs/assay.yaml"
    params:
        url=download_url,
        sha256=download_sha256,
    message:
        "Download {wildcards.file} for data set {wildcards.dataset}"
    shell:
        "python -m workflow_scripts.prepare.download"
        ' --url "{params.url}"'
        " --sha256 {params.sha256} --log {log} --output {output}"


rule items:
    """The canonical items of a task, from its data sets: items/{task}.jsonl."""
    input:
        unpack(source_files),
        settings=prepare_settings,
    output:
        "results/{experiment}/items/{task}.jsonl",
    log:
        "results/{experiment}/logs/items/{task}.log",
    benchmark:
        "results/{experiment}/benchmarks/items/{task}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        sources=source_arguments,
        code=code_digest("workflow_scripts.prepare.items"),
    message:
        "Prepare the {wildcards.task} items"
    shell:
        "python -m workflow_scripts.prepare.items --task {wildcards.task}"
        " --settings {input.settings} --source {params.sources} --output {output} 2> {log}"
