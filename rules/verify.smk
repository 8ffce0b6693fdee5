# What is shown is what was asked: no page is written of files that were changed after they were made.


localrules:
    verify,


rule verification:
    """A trial is as it was asked and computed, and where its numbers come from.

    verification.json and provenance.json. Seals are inputs so that one that was deleted is made
    again, with what it speaks for. Commit, versions and machine are looked up when the job runs and
    are no reason to run it again: they are to tell how the results were made, not how the next ones
    would be.
    """
    input:
        requests=requests(),
        raw=raw(),
        item_files=ITEMS,
        questions=EXPERIMENT.question_files(),
        results=[LAYOUT.trial(name) for name in CHAIN],
        judged=EXPERIMENT.if_judged(JUDGED_FILES),
        seals=[LAYOUT.seal(name) for name in layout.SEALED],
        retest=EXPERIMENT.if_retested(LAYOUT.trial(RETEST_FILE), LAYOUT.seal("retest")),
        judged_seals=EXPERIMENT.if_judged(f"seals/{name}.json" for name in layout.JUDGED_SEALED),
        parse_settings=settings("parse", asked),
        judges=settings("verdicts") if EXPERIMENT.has_verdicts else [],
        judge_raw=EXPERIMENT.judge_raw,
        again=BINDING.retest_settings,
        retested_raw=EXPERIMENT.retested_raw,
        trial=settings("trial"),
    output:
        verification=LAYOUT.trial("verification.json"),
        provenance=LAYOUT.trial("provenance.json"),
    log:
        LAYOUT.log("verification", TRIAL),
    benchmark:
        LAYOUT.benchmark("verification", TRIAL)
    params:
        steps=BINDING.steps_file,
        code=code("report.provenance"),
    message:
        f"Verify {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.report.provenance --trial {input.trial}"
        " --parse-settings {input.parse_settings} --judges {input.judges} --retest {input.again}"
        " --steps {params.steps} --journal results/journal"
        " --verification {output.verification} --output {output.provenance} 2> {log}"


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
