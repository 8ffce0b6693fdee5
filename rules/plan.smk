# Cost before spending. `snakemake plan` shows what a run would ask and cost, each time it is called
# (workflow_scripts/rules/snakemake_command.py forces it). With budget_usd, the check of a model
# that costs something waits for the budget (rules/infer.smk), and its requests wait for the check.


localrules:
    plan,
    plan_embeddings,
    budget,


checkpoint plan_embeddings:
    """What embedders that cost something are still to embed: embeddings.json.

    `snakemake plan` alone asks for it. Requests whose passages wait for that are estimated.
    """
    input:
        chunks=EXPERIMENT.of_paid_chunks(layout.CHUNKS),
        checked=EXPERIMENT.of_paid_chunks(layout.CHECKED),
        questions=EXPERIMENT.question_files(),
        settings=settings("plan"),
    output:
        LAYOUT.of("embeddings.json"),
    log:
        LAYOUT.log("plan_embeddings"),
    params:
        code=code("costs.embeddings"),
    message:
        "Count what would be embedded"
    shell:
        "python -m workflow_scripts.costs.embeddings --settings {input.settings}"
        " --kept results/embeddings --output {output} 2> {log}"


rule plan:
    """What a run would ask and what that would cost: plan.json and, to be read, plan.md."""
    input:
        embeddings=BINDING.embeddings_plan,
        requests=BINDING.planned_requests,
        rewrites=EXPERIMENT.all_rewrite_requests(),
        analyses=EXPERIMENT.planned_analyses(),
        item_files=EXPERIMENT.items_of_question(),
        settings=settings("plan"),
    output:
        plan=LAYOUT.of("plan.json"),
        table=LAYOUT.of("plan.md"),
    log:
        LAYOUT.log("plan"),
    params:
        code=code("costs.plan"),
    message:
        "Count what would be asked"
    shell:
        "python -m workflow_scripts.costs.plan --settings {input.settings} --journal results/journal"
        " --items {input.item_files} --embeddings {input.embeddings} --output {output.plan} --table {output.table} 2> {log}"


rule budget:
    """The budget is enough for the plan: budget.txt."""
    input:
        plan=LAYOUT.of("plan.json"),
    output:
        LAYOUT.of("budget.txt"),
    log:
        LAYOUT.log("budget"),
    params:
        code=code("costs.budget"),
    message:
        "Check the budget"
    shell:
        "python -m workflow_scripts.costs.budget --plan {input.plan} --output {output} 2> {log}"
