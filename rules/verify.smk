# What is shown is what was asked: no page is written of files that were changed after they were made.


localrules:
    verify,


rule verification:
    """A trial is as it was asked and computed, from the journal to its statistics: verification.json.

    Its seals are inputs so that one that was deleted is made again, with what it speaks for.
    """
    input:
        requests=requests(),
        raw=raw(),
        item_files=ITEMS,
        questions=EXPERIMENT.question_files(),
        results=[LAYOUT.trial(name) for name in CHAIN],
        seals=[LAYOUT.seal(name) for name in layout.SEALED],
        parse_settings=settings("parse", asked),
    output:
        LAYOUT.trial("verification.json"),
    log:
        LAYOUT.log("verification", TRIAL),
    benchmark:
        LAYOUT.benchmark("verification", TRIAL)
    params:
        code=code("verify.trial"),
    message:
        f"Verify {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.verify.trial --parse-settings {input.parse_settings}"
        " --journal results/journal --output {output} 2> {log}"


rule verify:
    """Verify all trials in results/ by themselves; ends with an error if one was changed."""
    log:
        LAYOUT.log("verify"),
    params:
        code=code("verify.results"),
    message:
        "Verify results/"
    shell:
        "python -m workflow_scripts.verify.results --results results --log {log}"
