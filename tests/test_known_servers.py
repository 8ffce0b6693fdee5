"""What known servers are sent, by what they report about themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from answering import request, run
from conftest import REPOSITORY
from local_backends import Backend

from workflow_scripts.backends.servers import SERVERS, server_of
from workflow_scripts.core.records import Decoding

SAMPLED = Decoding(temperature=0.7, max_new_tokens=8, seed=7)


def test_the_guide_has_the_table() -> None:
    text = (REPOSITORY / "docs/servers.md").read_text(encoding="utf-8")
    section = text.split("## Servers that Assay knows")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[1:]]
    named = [[cells[0], *(re.findall("`([^`]+)`", cell) for cell in cells[1:])] for cells in rows]
    assert named == [
        [
            row.name,
            [row.owned_by],
            [row.version.replace("\\", "")] if row.version else [],
            list(row.off),
            [row.budget] if row.budget else [],
            list(row.omits),
        ]
        for row in SERVERS
    ]


def test_a_server_is_known_by_its_owner_and_its_version() -> None:
    assert server_of({"server": "vllm", "version": "0.32.0"}).name == "vLLM"
    assert server_of({"server": "vllm", "version": "0.32.0+cpu"}).name == "vLLM on a CPU"
    assert server_of({"server": "llamacpp", "version": "b1+cpu"}).name == "llama-server"
    assert server_of({}) == server_of({"server": "organization_owner"})


@pytest.mark.parametrize(("version", "seeded"), [("0.32.0+cpu", False), ("0.32.0", True)])
def test_vllm_on_a_cpu_is_sent_no_seed(
    of_openai: Backend, tmp_path: Path, version: str, seeded: bool
) -> None:
    of_openai.server.be_vllm()
    of_openai.server.version = version
    (line,) = run(tmp_path, of_openai.client(), [request(decoding=SAMPLED)])
    assert ("seed" in of_openai.server.bodies[-1]) is seeded
    assert line.not_sent == (None if seeded else ["seed"])
    assert "omit" not in of_openai.identity()
