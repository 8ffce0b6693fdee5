"""Texts that common chat models read as control tokens: the markers of turns."""

from __future__ import annotations

import re

CONTROL_TEXT = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"  # ChatML, Llama 3, Phi, GPT-OSS, GLM: <|im_end|>, <|eot_id|>, <|end|>
    r"|<｜[^｜<>\s]{1,40}｜>"  # DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk)>"  # Llama 2, Mistral, Gemma
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
)
"""Matches such a text. A server that tokenizes messages may end an item's turn at it."""
