"""Binds the config to the rules. Paths, files and settings come from workflow_scripts/rules/."""

from workflow_scripts.core.code_digest import code_digest
from workflow_scripts.rules import early_cutoff, fast_lookup, job_records, layout, workers
from workflow_scripts.rules.binding import Binding, or_exit
from workflow_scripts.rules.experiment import one_of
from workflow_scripts.rules.layout import ARM, IMPORT, MODEL, PART, REQUESTS, TRIAL, WAVE
from workflow_scripts.verify.trial import CHAIN, JUDGED_FILES, PAGE_FILES, RETEST_FILE

job_records.keep_with_results()
early_cutoff.install()
fast_lookup.install()
workers.install()

BINDING = Binding(workflow, config, checkpoints)
EXPERIMENT, LAYOUT = BINDING.experiment, BINDING.layout

requests, raw, settings = BINDING.requests, BINDING.raw, BINDING.settings
asked, this_wave = BINDING.asked, BINDING.this_wave

ITEMS = EXPERIMENT.item_files()
ENTAILMENT = BINDING.config.unsupported.model_files

OF_TRIAL = "{wildcards.backend}/{wildcards.model}/{wildcards.decoding}/{wildcards.prompt_set}"
OF_PART = (
    "{wildcards.model} ({wildcards.backend}): {wildcards.task}, prompt {wildcards.prompt}, "
    "temperature {wildcards.temp}, part {wildcards.part}"
)


wildcard_constraints:
    **EXPERIMENT.wildcard_constraints(),


def code(module, *further):
    """The digest of the code that a command runs: its module's, and what that loads by name."""
    return code_digest(f"workflow_scripts.{module}", *further)


def shown(name, caption, category):
    """A file of a trial that Snakemake's own report shows."""
    return report(
        LAYOUT.trial(name),
        caption=f"../docs/report/{caption}.rst",
        category=category,
        labels={
            "file": name,
            "backend": "{backend}",
            "model": "{model}",
            "decoding": "{decoding}",
            "prompts": "{prompt_set}",
        },
    )
