# A table and a question become a page. What a model is asked are parts like all others:
# rules/infer.smk and rules/batch.smk send them. All else is code.

ANALYSIS_FILES = (
    "profile.json",
    "intent.json",
    "plan_template.json",
    "plan_adapted.json",
    "plan_diff.md",
    "tool_calls.json",
    "execution_log.json",
    "charts",
    "report.html",
)


localrules:
    analyses,


rule analyses:
    """The pages of all analyses alone: `snakemake analyses`."""
    input:
        EXPERIMENT.analysis_files(*ANALYSIS_FILES),


rule analysis_profile:
    """The columns of a table, with types, cardinalities and roles: profile.json."""
    input:
        data=EXPERIMENT.analysis_data,
    output:
        profile=LAYOUT.analysis("profile.json"),
        seal=LAYOUT.analysis("seals/profile.json"),
    log:
        LAYOUT.log("analysis_profile", "{analysis}"),
    params:
        contents=or_exit(EXPERIMENT.analysis_contents),
        code=code("analyses.profile"),
    message:
        "Look at the table of analysis {wildcards.analysis}"
    shell:
        "python -m workflow_scripts.analyses.profile --data {input.data:q} --output {output.profile}"
        " --seal {output.seal} 2> {log}"


rule analysis_intent:
    """The request that asks what a question is about."""
    input:
        profile=LAYOUT.analysis("profile.json"),
        settings=settings("analysis"),
    output:
        LAYOUT.analysis_requests("intent"),
    log:
        LAYOUT.log("analysis_intent", "{analysis}"),
    params:
        code=code("analyses.intent"),
    message:
        "Ask what the question of analysis {wildcards.analysis} is about"
    shell:
        "python -m workflow_scripts.analyses.intent --profile {input.profile} --settings {input.settings}"
        " --output {output} 2> {log}"


rule analysis_possible:
    """The requests that may follow the first one; the plan of costs counts them."""
    input:
        profile=LAYOUT.analysis("profile.json"),
        plans=EXPERIMENT.plan_files(),
        settings=settings("analysis"),
    output:
        LAYOUT.analysis_requests(layout.POSSIBLE),
    log:
        LAYOUT.log("analysis_possible", "{analysis}"),
    params:
        contents=EXPERIMENT.plan_contents(),
        code=code("analyses.possible"),
    message:
        "Look at what analysis {wildcards.analysis} may ask"
    shell:
        "python -m workflow_scripts.analyses.possible --profile {input.profile} --plans {input.plans}"
        " --settings {input.settings} --output {output} 2> {log}"


rule analysis_adaptation:
    """The intent and the ready plan that fits best, and the request that asks how to adapt it."""
    input:
        profile=LAYOUT.analysis("profile.json"),
        intent=EXPERIMENT.analysis_raw("intent"),
        plans=EXPERIMENT.plan_files(),
        settings=settings("analysis"),
    output:
        intent=LAYOUT.analysis("intent.json"),
        plan=LAYOUT.analysis("plan_template.json"),
        requests=LAYOUT.analysis_requests("adapt_plan"),
        seal=LAYOUT.analysis("seals/adaptation.json"),
    log:
        LAYOUT.log("analysis_adaptation", "{analysis}"),
    params:
        contents=EXPERIMENT.plan_contents(),
        code=code("analyses.adaptation"),
    message:
        "Choose a plan for analysis {wildcards.analysis}"
    shell:
        "python -m workflow_scripts.analyses.adaptation --profile {input.profile} --intent {input.intent}"
        " --plans {input.plans} --settings {input.settings} --intent-output {output.intent}"
        " --plan {output.plan} --output {output.requests} --seal {output.seal} 2> {log}"


rule analysis_repair:
    """The request that asks once to repair changes that cannot be applied; no line if all can."""
    input:
        profile=LAYOUT.analysis("profile.json"),
        plan=LAYOUT.analysis("plan_template.json"),
        adaptation=EXPERIMENT.analysis_raw("adapt_plan"),
        settings=settings("analysis"),
    output:
        LAYOUT.analysis_requests("repair_plan"),
    log:
        LAYOUT.log("analysis_repair", "{analysis}"),
    params:
        code=code("analyses.repair"),
    message:
        "Check the changes to the plan of analysis {wildcards.analysis}"
    shell:
        "python -m workflow_scripts.analyses.repair --profile {input.profile} --plan {input.plan}"
        " --adaptation {input.adaptation} --settings {input.settings} --output {output} 2> {log}"


rule analysis_plan:
    """The plan with the model's changes, and how it differs from the ready one."""
    input:
        profile=LAYOUT.analysis("profile.json"),
        plan=LAYOUT.analysis("plan_template.json"),
        adaptation=EXPERIMENT.analysis_raw("adapt_plan"),
        repair=EXPERIMENT.analysis_raw("repair_plan"),
        settings=settings("analysis"),
    output:
        adapted=LAYOUT.analysis("plan_adapted.json"),
        differences=LAYOUT.analysis("plan_diff.md"),
        seal=LAYOUT.analysis("seals/plan.json"),
    log:
        LAYOUT.log("analysis_plan", "{analysis}"),
    params:
        code=code("analyses.plan"),
    message:
        "Adapt the plan of analysis {wildcards.analysis}"
    shell:
        "python -m workflow_scripts.analyses.plan --profile {input.profile} --plan {input.plan}"
        " --adaptation {input.adaptation} --repair {input.repair} --settings {input.settings}"
        " --output {output.adapted} --differences {output.differences} --seal {output.seal} 2> {log}"


rule analysis_report:
    """The plan is run: its charts, what was done, and the page."""
    input:
        data=EXPERIMENT.analysis_data,
        profile=LAYOUT.analysis("profile.json"),
        intent=LAYOUT.analysis("intent.json"),
        plan=LAYOUT.analysis("plan_template.json"),
        adapted=LAYOUT.analysis("plan_adapted.json"),
        settings=settings("analysis"),
    output:
        calls=LAYOUT.analysis("tool_calls.json"),
        log=LAYOUT.analysis("execution_log.json"),
        charts=directory(LAYOUT.analysis("charts")),
        page=LAYOUT.analysis("report.html"),
        seal=LAYOUT.analysis("seals/report.json"),
    log:
        LAYOUT.log("analysis_report", "{analysis}"),
    benchmark:
        LAYOUT.benchmark("analysis_report", "{analysis}")
    params:
        contents=or_exit(EXPERIMENT.analysis_contents),
        code=code("analyses.report"),
    message:
        "Write {output.page}"
    shell:
        "python -m workflow_scripts.analyses.report --data {input.data:q} --profile {input.profile}"
        " --intent {input.intent} --plan {input.plan} --adapted {input.adapted} --settings {input.settings}"
        " --tool-calls {output.calls} --log {output.log} --charts {output.charts} --output {output.page}"
        " --seal {output.seal} 2> {log}"
