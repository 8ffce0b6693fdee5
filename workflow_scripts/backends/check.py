"""See whether the configured backends can answer, before anything is sent or paid."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.block import Block
from ..core.errors import UserError, command
from ..core.files import read_jsonl, read_settings, write_text
from ..core.logs import log_to
from ..core.placed import Placed
from ..core.records import Request
from .settings import BackendSettings

if TYPE_CHECKING:
    from .client import InferenceClient

log = logging.getLogger(__name__)

_NAMED_AT_MOST = 10

_BYTES_PER_TOKEN = 4
"""Of English text, roughly."""


class CheckSettings(Block):
    """The backends to look at, by the name that stands in paths.

    ``max_new_tokens`` is the longest answer that a single backend is asked for, thoughts included;
    ``longest_answers`` has it of several. ``prompt_bytes`` is the size of the longest system
    prompt. All are 0 if they are not known. ``schema_parts``: the batch-input parts of each backend
    whose requests may have a JSON schema.
    """

    backends: dict[str, BackendSettings]
    schema_parts: dict[str, list[Placed]] = Field(default_factory=dict)
    max_new_tokens: int = 0
    longest_answers: dict[str, int] = Field(default_factory=dict, exclude_if=lambda each: not each)
    prompt_bytes: int = 0


async def findings(settings: CheckSettings) -> dict[str, str | UserError]:
    """What was found of each backend, or the error that says what to do."""
    found: dict[str, str | UserError] = {}
    for name, backend in settings.backends.items():
        try:
            parts = map(Path, settings.schema_parts.get(name, ()))
            longest = settings.longest_answers.get(name, settings.max_new_tokens)
            found[name] = await _finding(backend, longest, settings.prompt_bytes, parts)
        except UserError as error:
            found[name] = error
    return found


async def _finding(
    backend: BackendSettings, longest: int, prompt_bytes: int, parts: Iterable[Path]
) -> str:
    from .client import LocalClient

    async with _checked(backend) as (client, found):
        said = found + _schemas(client.identity(), parts)
        if not isinstance(client, LocalClient):
            return said
        await _tell_apart(client.identity(), backend)
        return said + _room(client.context_length, longest, prompt_bytes)


@asynccontextmanager
async def _checked(backend: BackendSettings) -> AsyncIterator[tuple[InferenceClient, str]]:
    from .client import make_client

    client = make_client(backend)
    try:
        yield client, await client.check()
    finally:
        await client.close()


def _schemas(identity: Mapping[str, str], parts: Iterable[Path]) -> str:
    """A remark on what is not enforced of the requests' JSON schemas.

    Raises:
        UserError: one cannot be enforced at all.
    """
    from .schema import not_enforced

    requests = (request for part in parts for request in read_jsonl(part, Request))
    found = not_enforced(identity, requests)
    told = [each.told(schemas) for each, schemas in found.most_common(_NAMED_AT_MOST)]
    if more := len(found) - len(told):
        told.append(f"{more} more of this kind, which plan.md lists (snakemake plan)")
    return "".join(f"; {each}" for each in told)


def _room(context_length: int | None, answer: int, prompt_bytes: int) -> str:
    """A remark on a context that may be too short.

    Raises:
        UserError: no prompt fits.
    """
    if context_length is None or not answer:
        return ""
    if answer >= context_length:
        raise UserError(
            f"answers may have {answer} tokens (max_new_tokens, and room for thoughts if reasoning "
            "is set), but prompt and answer together may have "
            f"{context_length} tokens. Lower max_new_tokens, or raise the context length (n_ctx, "
            "or the server's own option)"
        )
    prompt = prompt_bytes // _BYTES_PER_TOKEN
    if prompt + answer < context_length:
        return ""
    return (
        f"; its context of {context_length} tokens may be too short: the longest system prompt has "
        f"about {prompt}, answers up to {answer}"
    )


async def _tell_apart(identity: Mapping[str, str], backend: BackendSettings) -> None:
    """See that a server can be told from those at which other backends ask for its model.

    Raises:
        UserError: one reports the same about itself, so their answers would be taken for each
            other's.
    """
    from .http import without_waiting

    for address, version in backend.rivals.items():
        there: dict[str, Any] = {"local_endpoint": address, "model_version": version, "rivals": {}}
        # Headers may hold a key of this backend's server alone.
        there |= {"base_url": None, "headers": {}, "query": {}}
        try:
            with without_waiting():
                async with _checked(backend.model_copy(update=there)) as (rival, _):
                    same = rival.identity() == identity
        except UserError:  # told where that backend itself is looked at
            continue
        if same:
            raise UserError(
                f"{backend.address} and {address} report the same about {backend.model}, so the "
                "answers of one would be taken for those of the other. Give each of the two "
                "backends a model_version that says in which way they differ, or remove one"
            )


@command
def main() -> None:
    """Check keys, servers and models. Nothing is asked that costs anything."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    parser.add_argument("--output", type=Path, help="file for what was found, if all is ok")
    args = parser.parse_args()

    log_to(args.log)
    from .http import without_waiting

    settings = read_settings(args.settings, CheckSettings)
    # A run waits for a server that is still starting; a person who looks wants to know.
    with without_waiting() if args.output is None else nullcontext():
        found = asyncio.run(findings(settings))
    lines = [
        f"{'to do' if isinstance(what, UserError) else 'ok'}: {name}: {what}"
        for name, what in found.items()
    ]
    log.info("%s", "\n".join(lines))
    bad = [name for name, what in found.items() if isinstance(what, UserError)]
    if bad:
        raise UserError(f"not ready: {', '.join(bad)}; see above. No job that needs it was started")
    if args.output is not None:
        write_text(args.output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
