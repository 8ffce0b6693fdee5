rule trial_report:
    """One trial as a page: report.html."""
    input:
        requests=requests(),
        parts=settings("parse", asked),
        results=[LAYOUT.trial(name) for name in PAGE_FILES],
        judgements=EXPERIMENT.if_judged(["judgements.json"]),
        retest=EXPERIMENT.if_retested(LAYOUT.trial(RETEST_FILE)),
        item_files=ITEMS,
        retrieved=EXPERIMENT.retrieved,
        trial=settings("trial"),
    output:
        page=shown("report.html", "trial", "Trials"),
        data=LAYOUT.trial("report.json"),
        seal=LAYOUT.seal("trial_report"),
    log:
        LAYOUT.log("report", TRIAL),
    benchmark:
        LAYOUT.benchmark("report", TRIAL)
    params:
        retrieved=EXPERIMENT.retrieved_argument,
        code=code("report.trial", *EXPERIMENT.comparers()),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.trial --trial {input.trial} --parts {input.parts}"
        " --items {input.item_files} --judgements {input.judgements} --retest {input.retest} {params.retrieved}"
        " --output {output.page} --json {output.data} --seal {output.seal} 2> {log}"


rule front_page:
    """All trials of the experiment, compared, and its analyses: results/{experiment}/report.html."""
    input:
        analyses=EXPERIMENT.analysis_files("report.html"),
        results=EXPERIMENT.of_all_trials(
            "report.html",
            "significance.json",
            "per_item_scores.csv",
            "metrics.json",
            "predictions.csv",
            "local_costs.json",
            "costs.json",
            "verification.json",
        ),
        judgements=EXPERIMENT.of_all_trials("judgements.json") if EXPERIMENT.has_verdicts else [],
        retests=EXPERIMENT.retests(),
        comparisons=LAYOUT.comparisons if EXPERIMENT.trials else [],
        settings=settings("front"),
    output:
        page=report(
            LAYOUT.of("report.html"),
            caption="../docs/report/front.rst",
            category="Overview",
            labels={"file": "report.html, all trials"},
        ),
        data=LAYOUT.of("report.json"),
        seal=LAYOUT.of("seals/front_page.json"),
    log:
        LAYOUT.log("report"),
    benchmark:
        LAYOUT.benchmark("report")
    params:
        code=code("report.front"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.front --settings {input.settings}"
        " --comparisons {input.comparisons} --judgements {input.judgements} --retests {input.retests}"
        " --output {output.page} --json {output.data} --seal {output.seal} 2> {log}"


rule index:
    """The page to open: results/report.html, the experiment's page or a list of experiments."""
    input:
        page=LAYOUT.of("report.html"),
        data=LAYOUT.of("report.json"),
    output:
        page=layout.PAGE,
        seal=layout.PAGE_SEAL,
    log:
        layout.PAGE_LOG,
    params:
        results=subpath(output.page, parent=True),
        code=code("report.index"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.report.index --results {params.results} --output {output.page}"
        " --seal {output.seal} 2> {log}"
