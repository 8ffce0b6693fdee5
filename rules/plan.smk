# Cost before spending. `snakemake plan` shows what a run would ask and cost, each time it is called
# (workflow_scripts/rules/snakemake_command.py forces it).
#
# Where budget_usd is set, all that costs something waits for the budget (`budget` in common.smk).
# It waits by a checkpoint because a file would not do: as an ordinary input each new plan would
# re-run every part, and when an `ancient` one is made anew, Snakemake does not look whether the
# job has other reasons to run.


localrules:
    plan,
    budget,


rule plan:
    """What a run would ask and what that would cost: plan.json and, to be read, plan.md."""
    input:
        requests=input_parts_of_all_trials(),
        settings=plan_settings,
    output:
        plan=f"results/{EXPERIMENT}/plan.json",
        table=f"results/{EXPERIMENT}/plan.md",
    log:
        f"results/{EXPERIMENT}/logs/plan.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.costs.plan"),
    message:
        "Count what would be asked"
    shell:
        "python -m workflow_scripts.costs.plan --settings {input.settings} --journal results/journal"
        " --output {output.plan} --table {output.table} 2> {log}"


checkpoint budget:
    """The budget is enough for the plan: budget.txt."""
    input:
        plan=f"results/{EXPERIMENT}/plan.json",
    output:
        f"results/{EXPERIMENT}/budget.txt",
    log:
        f"results/{EXPERIMENT}/logs/budget.log",
    conda:
        "../envs/assay.yaml"
    params:
        code=code_digest("workflow_scripts.costs.budget"),
    message:
        "Check the budget"
    shell:
        "python -m workflow_scripts.costs.budget --plan {input.plan} --output {output} 2> {log}"
