rule registration:
    """Whether the primary question was declared before the first answer: registration.json."""
    input:
        answers=LAYOUT.trial("answers.csv"),
        raw=raw(),
        settings=settings("parse", asked),
        declaration=BINDING.declaration or [],
    output:
        status=LAYOUT.trial("registration.json"),
        seal=LAYOUT.seal("registration"),
    log:
        LAYOUT.log("registration", TRIAL),
    params:
        code=code("comparisons.registration"),
    message:
        "Look up when the primary question was declared"
    shell:
        "python -m workflow_scripts.comparisons.registration --declaration {input.declaration}"
        " --answers {input.answers} --settings {input.settings} --journal results/journal"
        " --output {output.status} --seal {output.seal} 2> {log}"


rule stats:
    """What the scores say about the treatments: significance.json and its companions."""
    input:
        scores=LAYOUT.trial("per_item_scores.csv"),
        metrics=LAYOUT.trial("metrics.json"),
        errors=LAYOUT.trial("errors.csv"),
        outcomes=LAYOUT.trial("outcomes.csv"),
        item_files=ITEMS,
        settings=settings("stats"),
        registration=LAYOUT.trial("registration.json") if BINDING.declaration else [],
        decision=BINDING.last_decision,
        judgements=EXPERIMENT.if_judged(["judgements.json"]),
    output:
        significance=shown("significance.json", "significance", "Comparisons"),
        selective_risk=LAYOUT.trial("selective_risk.json"),
        power=LAYOUT.trial("power.json"),
        seal=LAYOUT.seal("stats"),
    log:
        LAYOUT.log("stats", TRIAL),
    benchmark:
        LAYOUT.benchmark("stats", TRIAL)
    params:
        code=code("comparisons.contrasts"),
    message:
        f"Test the differences of {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.comparisons.contrasts --scores {input.scores}"
        " --items {input.item_files} --settings {input.settings} --errors {input.errors}"
        " --outcomes {input.outcomes} --registration {input.registration} --decision {input.decision}"
        " --judgements {input.judgements}"
        " --significance {output.significance} --selective-risk {output.selective_risk} --power {output.power}"
        " --seal {output.seal} 2> {log}"


rule comparisons:
    """Treatments, trials, temperatures and parts of the items against each other: comparisons.json."""
    input:
        scores=EXPERIMENT.of_all_trials("per_item_scores.csv", "metrics.json"),
        registrations=EXPERIMENT.of_all_trials("registration.json") if BINDING.declaration else [],
        item_files=ITEMS,
        settings=settings("comparisons"),
    output:
        comparisons=LAYOUT.comparisons,
        seal=LAYOUT.of("seals/comparisons.json"),
    log:
        LAYOUT.log("comparisons"),
    benchmark:
        LAYOUT.benchmark("comparisons")
    params:
        code=code("comparisons.experiment"),
    message:
        "Compare the trials"
    shell:
        "python -m workflow_scripts.comparisons.experiment --settings {input.settings}"
        " --items {input.item_files} --output {output.comparisons} --seal {output.seal} 2> {log}"


rule cost_effectiveness:
    """What the treatments use, and what an avoided false answer costs: cost_effectiveness.json."""
    input:
        significance=LAYOUT.trial("significance.json"),
        local_costs=LAYOUT.trial("local_costs.json"),
        costs=LAYOUT.trial("costs.json"),
        answers=LAYOUT.trial("answers.csv"),
        rewriting=EXPERIMENT.rewriting_files,
        settings=settings("costs", asked),
        stats_settings=settings("stats"),
        item_files=ITEMS,
    output:
        ratios=LAYOUT.trial("cost_effectiveness.json"),
        usage=LAYOUT.trial("usage.json"),
        usage_per_item=LAYOUT.trial("usage_per_item.csv"),
        seal=LAYOUT.seal("cost_effectiveness"),
    log:
        LAYOUT.log("cost_effectiveness", TRIAL),
    params:
        code=code("costs.cost_effectiveness"),
    message:
        f"Relate costs to false answers: {OF_TRIAL}"
    shell:
        "python -m workflow_scripts.costs.cost_effectiveness --significance {input.significance}"
        " --local-costs {input.local_costs} --costs {input.costs} --settings {input.settings}"
        " --stats-settings {input.stats_settings} --answers {input.answers} --items {input.item_files}"
        " --usage-per-item {output.usage_per_item} --usage {output.usage} --output {output.ratios}"
        " --seal {output.seal} 2> {log}"
