rule build:
    """The requests of a task under one system prompt, cut into batch-input parts."""
    input:
        questions="results/{experiment}/questions/{task}.jsonl",
        system=system_prompt,
        template=task_template,
        settings=build_settings,
    output:
        expand(
            "results/{{experiment}}/inputs/{{decoding}}/{{task}}.{{prompt}}.t{{temp}}.p{part}.jsonl",
            part=plan.parts(CONFIG),
        ),
    log:
        "results/{experiment}/logs/build/{decoding}/{task}.{prompt}.t{temp}.log",
    benchmark:
        "results/{experiment}/benchmarks/build/{decoding}/{task}.{prompt}.t{temp}.tsv"
    conda:
        "../envs/assay.yaml"
    params:
        stem=subpath(output[0], strip_suffix=".p000.jsonl"),
        template=lambda wildcards: template_path(wildcards.task).as_posix(),
        contents=prompt_contents,
        code=code_digest("workflow_scripts.requests.parts"),
    message:
        "Build requests: {wildcards.task}, prompt {wildcards.prompt}, temperature {wildcards.temp}"
    shell:
        "python -m workflow_scripts.requests.parts --questions {input.questions} --system {input.system:q}"
        " --template {params.template} --settings {input.settings}"
        " --output-stem {params.stem} 2> {log}"
