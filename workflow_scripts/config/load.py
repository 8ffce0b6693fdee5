"""The one loader of configs, for rules and scripts alike."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dotenv
from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import read_text
from ..core.yaml_file import read_yaml
from . import arm_checks, checks, gate_checks, judge_checks, models, searches
from .mistakes import Problem, Sources, explain
from .schema import Config

ENVIRONMENT = {
    "ASSAY_BACKEND": "backend",
    "ASSAY_LOCAL_ENGINE": "local_engine",
    "ASSAY_LOCAL_ENDPOINT": "local_endpoint",
    "ASSAY_LOCAL_MODEL": "local_model",
    "ASSAY_MODEL_ID": "model_id",
}
"""Environment variables (also from ``.env``) and the config key that each one replaces."""

_CHECKS = (
    checks.unusable_phrases,
    checks.unknown_names,
    gate_checks.impossible_gates,
    checks.missing_files,
    checks.missing_libraries,
    checks.unusable_prompts,
    arm_checks.unusable_templates,
    arm_checks.impossible_arms,
    searches.impossible_corpora,
    searches.impossible_searches,
    checks.impossible_decoding,
    arm_checks.arms_like_their_control,
    judge_checks.impossible_judging,
    checks.missing_prices,
    checks.two_addresses,
)
"""In this order: each relies on what those before it have checked."""


def load_config(
    values: Mapping[str, Any], files: Sequence[Path], overrides: Mapping[str, Any]
) -> Config:
    """Check a merged config and everything it points to.

    Args:
        values: the merged config, as Snakemake gives it: ``files`` in order, then ``overrides``.
        files: where it came from, for messages.
        overrides: what the command line said; it wins over the environment.

    Raises:
        UserError: one message that lists all mistakes, each with file, line, key and remedy.
    """
    config, sources = parse_config(values, files, overrides)
    found = [sources.message(*problem) for problem in problems(config)]
    if found:
        raise UserError("\n".join(dict.fromkeys(found)))
    return config


def parse_config(
    values: Mapping[str, Any], files: Sequence[Path], overrides: Mapping[str, Any]
) -> tuple[Config, Sources]:
    """Check a merged config by the schema alone, and return it with the places of its keys.

    The arguments are those of `load_config`.

    Raises:
        UserError: as for `load_config`.
    """
    for path in files:
        read_yaml(path)  # refuses what Snakemake's own loader lets pass
    variables = _variables(overrides)
    sources = Sources(files, overrides, variables)
    from_environment = {key: os.environ[variable] for key, variable in variables.items()}
    unprintable = [
        sources.message(location, problem)
        for location, problem in checks.control_characters({**values, **from_environment})
    ]
    if unprintable:
        raise UserError("\n".join(unprintable))
    try:
        config = Config.model_validate({**values, **from_environment})
        models.backends(config)
        models.judges(config)
    except ValidationError as error:
        raise UserError(explain(error, sources)) from error
    return config, sources


def problems(config: Config) -> list[Problem]:
    """Return all problems that the first check with any finds, in all that the config names."""
    return next(filter(None, (list(check(config)) for check in _CHECKS)), [])


def read_config(path: Path) -> Config:
    """Read one config file as `load_config` does."""
    return load_config(read_yaml(path), [path], {})


def _variables(overrides: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that are set, by the config key that each one replaces."""
    path = Path(".env")
    if path.is_file():
        dotenv.load_dotenv(stream=io.StringIO(read_text(path)))
    return {
        key: variable
        for variable, key in ENVIRONMENT.items()
        if variable in os.environ and key not in overrides
    }
