"""The order in which requests go out: those that begin alike follow each other.

An engine that has evaluated a prompt evaluates only the rest of the next one that begins like it:
vLLM, SGLang and llama-server keep such prefixes, as does llama.cpp in this process, but only the
latest ones. So a part is sent as a walk through the tree of its prompts' beginnings. Where nothing
is shared, the order is that of the file, which nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable

_BLOCK = 256
"""Bytes that prompts share or not, about 64 tokens."""

_MOST_NODES = 500_000
"""Blocks of the tree; 50 MB. Prompts are compared up to the first that it has no room for."""

_NODE_BYTES = 4


def prefix_order(prompts: Iterable[bytes]) -> list[int]:
    """Return the numbers of the prompts in the order of a walk through their tree.

    Blocks are numbered as they come, so a subtree stands where its first prompt stood.
    """
    nodes: dict[int, int] = {}
    paths = [_path(prompt, nodes) for prompt in prompts]
    return sorted(range(len(paths)), key=paths.__getitem__)


def _path(prompt: bytes, nodes: dict[int, int]) -> bytes:
    """Return the nodes that lead to a prompt; new ones are added."""
    path = bytearray()
    above = 0
    for start in range(0, len(prompt), _BLOCK):
        above = hash((above, prompt[start : start + _BLOCK]))
        if above not in nodes:
            if len(nodes) == _MOST_NODES:
                break
            nodes[above] = len(nodes)
        path += nodes[above].to_bytes(_NODE_BYTES, "big")
    return bytes(path)
