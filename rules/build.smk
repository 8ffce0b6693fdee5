rule build:
    """The requests of a task under one system prompt, cut into batch-input parts."""
    input:
        questions=LAYOUT.questions,
        system=EXPERIMENT.system_prompt,
        template=EXPERIMENT.template_files,
        settings=settings("build"),
    output:
        EXPERIMENT.cut_requests(),
    log:
        LAYOUT.log("build", REQUESTS),
    benchmark:
        LAYOUT.benchmark("build", REQUESTS)
    params:
        stem=subpath(output[0], strip_suffix=".p000.jsonl"),
        template=EXPERIMENT.template,
        contents=or_exit(EXPERIMENT.prompt_contents),
        code=code("requests.parts"),
    message:
        "Build requests: {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}"
    shell:
        "python -m workflow_scripts.requests.parts --questions {input.questions} --system {input.system:q}"
        " --template {params.template} --settings {input.settings}"
        " --output-stem {params.stem} 2> {log}"
