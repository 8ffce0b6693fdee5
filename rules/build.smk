rule build:
    """The requests of a task under one system prompt, cut into batch-input parts."""
    input:
        questions=LAYOUT.questions,
        system=EXPERIMENT.system_prompt,
        templates=EXPERIMENT.template_files,
        retrieved=EXPERIMENT.retrieved_of_requests,
        planned=[],
        settings=settings("build"),
    output:
        EXPERIMENT.cut_requests(),
    log:
        LAYOUT.log("build", REQUESTS),
    benchmark:
        LAYOUT.benchmark("build", REQUESTS)
    wildcard_constraints:
        task=one_of(EXPERIMENT.tasks),
        decoding=one_of(EXPERIMENT.decodings),
    params:
        stem=subpath(output[0], strip_suffix=".p000.jsonl"),
        contents=or_exit(EXPERIMENT.prompt_contents),
        code=code("requests.parts"),
    message:
        "Build requests: {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}"
    shell:
        "python -m workflow_scripts.requests.parts --questions {input.questions} --system {input.system:q}"
        " --prompt {wildcards.prompt} --settings {input.settings} --retrieved {input.retrieved}"
        " --planned {input.planned} --output-stem {params.stem} 2> {log}"


use rule build as build_rewritten with:
    """The same for one model that rewrote the questions, with the passages found for its texts."""
    input:
        questions=LAYOUT.questions,
        system=EXPERIMENT.system_prompt,
        templates=EXPERIMENT.template_files,
        retrieved=EXPERIMENT.rewritten_retrieved_of_requests,
        # What the plan counts until these are made; their seal says that they belong together.
        planned=EXPERIMENT.cut_requests(),
        settings=settings("build"),
    output:
        EXPERIMENT.cut_rewritten_requests(),
    log:
        LAYOUT.log("build", f"{MODEL}/{REQUESTS}"),
    benchmark:
        LAYOUT.benchmark("build", f"{MODEL}/{REQUESTS}")
    wildcard_constraints:
        task=one_of(EXPERIMENT.tasks),
        decoding=one_of(EXPERIMENT.decodings),
        prompt=one_of(EXPERIMENT.rewritten_prompts),


rule differences:
    """What the requests of a trial's arms differ in, item by item: differences.json.

    A difference that the config does not declare stops the run. Where the config has `arms`, that
    is before anything is asked.
    """
    input:
        requests=requests(BINDING.planned),
        settings=settings("differences"),
    output:
        differences=LAYOUT.trial("differences.json"),
        seal=LAYOUT.seal("differences"),
    log:
        LAYOUT.log("differences", TRIAL),
    params:
        code=code("comparisons.differences"),
    message:
        f"Compare the requests of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.comparisons.differences --settings {input.settings}"
        " --output {output.differences} --seal {output.seal} 2> {log}"
