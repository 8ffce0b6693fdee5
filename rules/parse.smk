rule parse:
    """A trial's answers as one table, answers.csv, and of it predictions.csv and errors.csv."""
    input:
        requests=requests(),
        raw=raw(),
        settings=settings("parse", asked),
    output:
        answers=LAYOUT.trial("answers.csv"),
        predictions=shown("predictions.csv", "predictions", "Answers and scores"),
        errors=LAYOUT.trial("errors.csv"),
        seal=LAYOUT.seal("parse"),
    log:
        LAYOUT.log("parse", TRIAL),
    benchmark:
        LAYOUT.benchmark("parse", TRIAL)
    params:
        code=code("answers.predictions"),
    message:
        f"Gather the answers of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.answers.predictions --settings {input.settings}"
        " --answers {output.answers} --predictions {output.predictions} --errors {output.errors}"
        " --seal {output.seal} 2> {log}"
