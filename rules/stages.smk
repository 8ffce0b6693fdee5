# One target a stage, for a run that is to end there: `snakemake stage_eval`. The verbs data, build,
# eval, parse, score and stats of Makefile and tasks.ps1 are these; the other stages have rules or
# files of their own.


localrules:
    stage_data,
    stage_build,
    stage_eval,
    stage_parse,
    stage_score,
    stage_stats,


rule stage_data:
    """The items of all data sets."""
    input:
        ITEMS,
        EXPERIMENT.question_files(),


rule stage_build:
    """All requests that can be made without asking a model.

    Where questions are rewritten, those are planned ones; docs/retrieval.md.
    """
    input:
        EXPERIMENT.all_requests(),


rule stage_eval:
    """All answers. Sends requests."""
    input:
        BINDING.parts_of_all_trials,


rule stage_parse:
    """Each trial's table of answers."""
    input:
        EXPERIMENT.of_all_trials("answers.csv", "predictions.csv", "errors.csv"),


rule stage_score:
    """Each trial's scores."""
    input:
        EXPERIMENT.of_all_trials("per_item_scores.csv", "outcomes.csv", "metrics.json"),


rule stage_stats:
    """Each trial's statistics, and the comparison of all trials."""
    input:
        EXPERIMENT.of_all_trials("significance.json", "selective_risk.json", "power.json"),
        LAYOUT.comparisons,
