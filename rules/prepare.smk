localrules:
    settings,


rule settings:
    """What the stages read of the config: settings/{stage}-{digest of the content}.json."""
    output:
        BINDING.missing_settings,
    log:
        LAYOUT.log("settings"),
    params:
        texts=BINDING.settings_texts,
    message:
        "Write settings"
    script:
        "../workflow_scripts/rules/write_settings.py"


rule download:
    """A data set from its URL, once: results/downloads/{dataset}/{file}.

    All experiments share it, and its settings.
    """
    input:
        settings=BINDING.download_settings,
    output:
        layout.DOWNLOAD,
    log:
        layout.DOWNLOAD_LOG,
    message:
        "Download {wildcards.file} for data set {wildcards.dataset}"
    shell:
        "python -m workflow_scripts.datasets.download --settings {input.settings}"
        " --output {output} 2> {log}"


rule items:
    """The canonical items of a task, from its data sets: items/{task}.jsonl.

    Requests are made from questions/{task}.jsonl, the items without their gold answers.
    """
    input:
        sources=EXPERIMENT.source_files,
        settings=settings("prepare"),
    output:
        item_file=LAYOUT.items,
        questions=LAYOUT.questions,
    log:
        LAYOUT.log("items", "{task}"),
    benchmark:
        LAYOUT.benchmark("items", "{task}")
    params:
        sources=EXPERIMENT.source_arguments,
        contents=or_exit(EXPERIMENT.source_contents),
        code=code("datasets.items"),
    message:
        "Prepare the {wildcards.task} items"
    shell:
        "python -m workflow_scripts.datasets.items --task {wildcards.task}"
        " --settings {input.settings} --source {params.sources:q} --output {output.item_file}"
        " --questions {output.questions} 2> {log}"
