rule imported:
    """The answers of an arm that come from a file, cut into parts: imported/{arm}/default/raw/….

    Nobody is asked. imported/{arm}/inputs/… names the items in the place of requests.
    """
    input:
        answers=EXPERIMENT.answers_file,
        item_files=ITEMS,
        settings=settings("imported"),
    output:
        requests=EXPERIMENT.cut_imports()["requests"],
        raw=EXPERIMENT.cut_imports()["raw"],
    log:
        LAYOUT.log("imported", IMPORT),
    benchmark:
        LAYOUT.benchmark("imported", IMPORT)
    params:
        requests=subpath(output[0], parent=True),
        raw=subpath(output[-1], parent=True),
        contents=or_exit(EXPERIMENT.answers_contents),
        code=code("answers.imported"),
    message:
        "Read the answers of {wildcards.prompt}: {wildcards.task}, from {input.answers}"
    shell:
        "python -m workflow_scripts.answers.imported --answers {input.answers:q}"
        " --items {input.item_files} --settings {input.settings}"
        " --requests {params.requests} --raw {params.raw} 2> {log}"
