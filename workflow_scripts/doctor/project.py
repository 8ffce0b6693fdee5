"""Probes of a configured experiment: config, prompts, data, keys and backends.

Each reads as much of the config as it needs, so a mistake in one place hides no other.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from .findings import Finding, NotExaminedError, Probe

if TYPE_CHECKING:
    from ..backends.settings import BackendSettings
    from ..config.schema import Config

_LONGEST_CHECK_S = 30.0

_TOPICS = {"prompt_sets": "prompts", "datasets": "data"}
"""The probe that reports mistakes under a key of the config; that of the config has all others."""


class Project:
    """The experiment of some config files.

    Args:
        files: in the order in which each overrides those before it.
        overrides: keys of the command line, as ``KEY=VALUE``.
    """

    def __init__(self, files: Sequence[Path], overrides: Sequence[str]) -> None:
        self._files = files
        self._overrides = overrides
        self._in_environment = dict(os.environ)

    def probes(self) -> dict[str, Probe]:
        """Return the probes of the experiment by name."""
        return {
            "config": self.config,
            "prompts": self.prompts,
            "data": self.data,
            "keys": self.keys,
            "backends": self.backends,
        }

    @functools.cached_property
    def _parsed(self) -> tuple[Config, list[tuple[str, str]]]:
        """The config by its schema, and what is wrong with the rest, each with its probe.

        Raises:
            UserError: the config does not follow the schema.
        """
        import yaml

        from ..config.load import parse_config, problems
        from ..core.yaml_file import read_yaml

        values: dict[str, Any] = {}
        pairs = (entry.partition("=") for entry in self._overrides)
        overrides = {key: yaml.safe_load(value) for key, _, value in pairs}
        for each in (*map(read_yaml, self._files), overrides):
            values = _merged(values, each)
        config, sources = parse_config(values, self._files, overrides)
        found = {
            sources.message(where, what): _TOPICS.get(str(where[0]) if where else "", "config")
            for where, what in problems(config)
        }
        return config, [(topic, message) for message, topic in found.items()]

    def _models(self) -> dict[str, BackendSettings]:
        """The settings of each model that is asked, by backend and model."""
        from ..config.models import models

        return {"/".join(names): each for names, each in models(self._readable()).items()}

    def _mistakes(self, topic: str) -> list[Finding]:
        return [Finding("to do", message) for probe, message in self._parsed[1] if probe == topic]

    def config(self) -> Iterator[Finding]:
        """Whether the config is valid, and what replaces its keys."""
        from ..config.load import ENVIRONMENT

        mistakes = self._mistakes("config")
        yield from mistakes
        if not self._parsed[1]:
            yield Finding("ok", f"{', '.join(each.as_posix() for each in self._files)}: valid")
        for variable, key in ENVIRONMENT.items():
            if variable in os.environ:
                yield Finding("note", f"the environment variable {variable} sets {key}")

    def prompts(self) -> Iterator[Finding]:
        """Whether all system prompts can be read."""
        from ..core.chats import read_chat
        from ..core.prompts import prompt_path

        config = self._readable()
        mistakes = self._mistakes("prompts")
        yield from mistakes
        if mistakes:
            return
        references = {
            reference
            for chosen in config.prompt_sets.values()
            for reference in (chosen.control, *chosen.treatment)
            if reference not in config.arms
        }
        references |= {arm.system for arm in config.arms.values() if arm.system is not None}
        for reference in references:
            read_chat(prompt_path(reference))
        yield Finding("ok", f"{len(references)} system prompts")

    def data(self) -> Iterator[Finding]:
        """Whether each data set is there and can be read to its end."""
        from ..datasets.items import read_items
        from ..datasets.source import Source
        from ..tasks.registry import TASKS

        datasets = self._readable().datasets
        mistakes = self._mistakes("data")
        yield from mistakes
        for name, spec in datasets.items():
            if spec.path is None:
                yield Finding("ok", f"{name}: the first run downloads it")
            elif Path(spec.path).is_file():
                source = Source(name, Path(spec.path), spec.member, columns=spec.columns)
                try:
                    count = len(read_items(source, spec.format, TASKS[spec.the_task]))
                except UserError as error:
                    yield Finding("to do", str(error))
                else:
                    yield Finding("ok", f"{name}: {count} items in {spec.path}")
            elif not mistakes:
                yield Finding("to do", f"{name}: {spec.path} does not exist")

    def keys(self) -> Iterator[Finding]:
        """Whether the keys of the configured backends are there. Never shows one."""
        from ..backends.settings import header_variable

        for backend in self._models().values():
            for variable in map(header_variable, backend.headers.values()):
                if os.environ.get(variable, "").strip():
                    yield Finding("ok", f"{backend.engine}: {variable} is set")
                else:
                    yield Finding(
                        "to do",
                        f"{backend.engine}: {variable} is not set",
                        f"write the line {variable}=YOUR_KEY into the file .env",
                    )
        declared = {each.engine: each.declaration for each in self._models().values()}
        for declaration in declared.values():
            variables = declaration.key_variables
            given = [name for name in variables if os.environ.get(name, "").strip()]
            if given:
                where = "the environment" if given[0] in self._in_environment else ".env"
                yield Finding("ok", f"{declaration.name}: {given[0]} is set in {where}")
            elif declaration.is_hosted:
                yield Finding(
                    "to do",
                    f"{declaration.name}: {variables[0]} is not set",
                    f"write the line {variables[0]}=YOUR_KEY into the file .env",
                )
            else:
                yield Finding("ok", f"{declaration.name}: needs no key")

    def backends(self) -> Iterator[Finding]:
        """Whether each backend can be reached and has its model. Costs nothing."""
        from ..backends.check import CheckSettings, findings
        from ..backends.http import without_waiting

        async def look(settings: CheckSettings) -> dict[str, str | UserError]:
            async with asyncio.timeout(_LONGEST_CHECK_S):
                return await findings(settings)

        for name, backend in self._models().items():
            keys = backend.declaration.key_variables
            if backend.declaration.is_hosted and not any(os.environ.get(key) for key in keys):
                yield Finding("note", f"{name}: was not asked, because its key is not set")
                continue
            try:
                with without_waiting():
                    found = asyncio.run(look(CheckSettings(backends={name: backend})))
            except TimeoutError:
                what = (
                    f"no reply from {backend.address or 'the provider'} in {_LONGEST_CHECK_S:g} s"
                )
                yield Finding("to do", f"{name}: {what}")
            except ImportError as error:
                what = f"the package {error.name or error} is missing or broken"
                yield Finding("to do", f"{name}: {what}")
            else:
                for said in found.values():
                    yield Finding(
                        "to do" if isinstance(said, UserError) else "ok", f"{name}: {said}"
                    )

    def wants_gpu(self) -> bool:
        """Return whether a model in this process has layers on a GPU."""
        try:
            models = self._models()
        except (NotExaminedError, UserError, ImportError):  # reported as the config's
            return False
        return any(each.model_file and each.n_gpu_layers for each in models.values())

    def _readable(self) -> Config:
        """The config, for probes that report no mistake in it.

        Raises:
            NotExaminedError: it does not follow the schema.
        """
        try:
            return self._parsed[0]
        except UserError as error:
            raise NotExaminedError("the config cannot be read") from error


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``others`` over ``values`` as Snakemake does: block by block, key by key."""
    merged = dict(values)
    for key, value in others.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
