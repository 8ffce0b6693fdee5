# Assay: does this change to an LLM system really change accuracy and hallucination?
#
#   results/{experiment}/items/{task}.jsonl, questions/{task}.jsonl                prepare
#   results/corpora/{corpus}/documents.jsonl, {chunking}/chunks.jsonl, …           retrieve, with corpora
#   results/{experiment}/retrievals/{task}.{search}.jsonl                          retrieve, with corpora
#   results/{experiment}/inputs/{decoding}/{task}.{prompt}.t{temp}.p{part}.jsonl   build
#   results/{experiment}/{backend}/{model}/{decoding}/raw/{task}. … .p{part}.jsonl infer
#   results/{experiment}/imported/{arm}/default/raw/{task}. … .p{part}.jsonl       import
#   results/{experiment}/{backend}/{model}/{decoding}/{prompt_set}/                one trial:
#       differences.json                                                           differences
#       answers.csv, predictions.csv, errors.csv                                   parse
#       verdicts.csv                                                               judge, if declared
#       per_item_scores.csv, outcomes.csv, metrics.json                            score
#       unsupported_sensitivity.json                                               score
#       significance.json, selective_risk.json, power.json, cost_effectiveness.json  stats
#       costs.json, local_costs.json, audit.json                                   costs
#       usage.json, usage_per_item.csv                                             stats
#       retest.json                                                                retest, if asked for
#       labels/page.html, key.csv                                                  label, when asked for
#       waves/{wave}/decision.json                                                 waves, if declared
#       verification.json, provenance.json                                         verify
#       report.html, report.json                                                   report
#       table.md, table.tex, *.parquet, inspect/*.eval                             export
#       every_eval_ever/, eval_results/*.yaml, ro-crate.zip                        export
#   results/{experiment}/analyses/{analysis}/report.html, …                        analyses, if declared
#   results/{experiment}/comparisons.json                                          all trials
#   results/{experiment}/report.html, report.json                                  all trials
#   results/report.html                                                            the page to open
#   results/{experiment}/gate.json, gate.xml, gate.md                              gate
#   results/{experiment}/plan.json, plan.md                                        cost before spending

from snakemake.utils import min_version

min_version("9.25")


# A config file on the command line stands alone; it is not laid over the demo.
if not workflow.configfiles:

    configfile: "config/config.yaml"


report: "docs/report/workflow.rst"


include: "rules/common.smk"
include: "rules/prepare.smk"
include: "rules/retrieve.smk"
include: "rules/build.smk"
include: "rules/plan.smk"
include: "rules/infer.smk"
include: "rules/import.smk"
include: "rules/batch.smk"
include: "rules/parse.smk"
include: "rules/retest.smk"
include: "rules/judge.smk"
include: "rules/analyses.smk"
include: "rules/score.smk"
include: "rules/label.smk"
include: "rules/stats.smk"
include: "rules/waves.smk"
include: "rules/costs.smk"
include: "rules/verify.smk"
include: "rules/report.smk"
include: "rules/export.smk"
include: "rules/gate.smk"
include: "rules/stages.smk"


localrules:
    all,
    exports,


rule all:
    """The report over all trials of the configured experiment, and every file behind it."""
    default_target: True
    input:
        layout.PAGE,
        LAYOUT.comparisons if EXPERIMENT.trials else [],
        EXPERIMENT.analysis_files(*ANALYSIS_FILES),
        EXPERIMENT.of_all_trials(
            "answers.csv",
            "predictions.csv",
            "errors.csv",
            "per_item_scores.csv",
            "outcomes.csv",
            "metrics.json",
            "unsupported_sensitivity.json",
            "significance.json",
            "selective_risk.json",
            "power.json",
            "local_costs.json",
            "costs.json",
            "cost_effectiveness.json",
            "usage_per_item.csv",
            "usage.json",
            "audit.json",
            "differences.json",
            "verification.json",
            "provenance.json",
            "report.html",
            "report.json",
        ),
        EXPERIMENT.of_all_trials(*JUDGED_FILES) if EXPERIMENT.has_verdicts else [],
        EXPERIMENT.retests(),
        ITEMS,
        EXPERIMENT.question_files(),
        BINDING.parts_of_all_trials,


rule exports:
    """Every trial in the forms that papers and other programs take; all trials as a table."""
    input:
        EXPERIMENT.of_all_trials(
            "table.md",
            "table.tex",
            "predictions.parquet",
            "per_item_scores.parquet",
            "ro-crate.zip",
        ),
        EXPERIMENT.of_all_arms(LAYOUT.inspect_log),
        EXPERIMENT.of_all_arms(LAYOUT.evaluation),
        EXPERIMENT.of_all_arms(LAYOUT.hub_results, EXPERIMENT.benchmark_tasks()),
        LAYOUT.of("table.md"),
        LAYOUT.of("table.tex"),


onstart:
    BINDING.start()


onsuccess:
    BINDING.require_targets()
    BINDING.say_where_the_report_is()
    BINDING.end_with_gate()
