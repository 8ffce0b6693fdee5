# What must not get worse, for continuous integration: `snakemake gate` makes these files each time
# and ends with the gate's own exit code (workflow_scripts/rules/gate_exit.py).


localrules:
    gate,


rule gate:
    """What the config's gate decides: gate.json, gate.xml (JUnit) and gate.md."""
    input:
        results=EXPERIMENT.of_all_trials("significance.json", "usage.json"),
        scores=EXPERIMENT.of_all_trials("per_item_scores.csv", "metrics.json"),
        judgements=EXPERIMENT.of_all_trials("judgements.json") if EXPERIMENT.has_verdicts else [],
        settings=BINDING.gate_settings,
    output:
        report=LAYOUT.of("gate.json"),
        junit=LAYOUT.of("gate.xml"),
        markdown=LAYOUT.of("gate.md"),
    log:
        LAYOUT.log("gate"),
    params:
        code=code("export.gate"),
    message:
        "Hold the trials against the gate"
    shell:
        "python -m workflow_scripts.export.gate --settings {input.settings} --output {output.report}"
        " --junit {output.junit} --markdown {output.markdown} 2> {log}"
