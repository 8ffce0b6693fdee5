"""Whether a passage entails an answer, by a local natural-language-inference (NLI) model.

The premise is the passage, the hypothesis ``The answer to the question "…" is: …``. Support is the
model's probability of "entailment". A passage that is longer than the model's input is cut into
overlapping windows, and the window that supports the answer most counts (as in SummaC, Laban et
al. 2022: a claim needs its evidence in one place only).

The model is a folder with ``model.onnx``, ``tokenizer.json`` and ``config.json``, as the Hugging
Face hub and its ``optimum`` exporter lay them out. It runs on the CPU by onnxruntime, an optional
dependency (envs/nli.txt).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from ..core.errors import UserError
from ..core.files import read_settings
from .unsupported import Claim

_LONGEST_INPUT = 512
"""Tokens; what models of the BERT family were trained with."""

_BATCH = 32
_CHUNK = 1024
"""Claims that are held in tokens at once."""

_INSTALL = "python -m pip install --requirement envs/nli.txt"


class _ModelConfig(BaseModel):
    """What is needed of a model's config.json."""

    id2label: dict[str, str] = {}
    max_position_embeddings: int = _LONGEST_INPUT
    pad_token_id: int | None = None


class _Window(NamedTuple):
    claim: Claim
    ids: list[int]
    types: list[int]


class EntailmentModel:
    """Measures support by the probability of entailment."""

    def __init__(self, model: Path, tokenizer: Path, config: Path) -> None:
        """Load the three files of a model.

        Raises:
            UserError: a file is missing or no such model, or onnxruntime is not installed.
        """
        for path in (model, tokenizer, config):
            if not path.is_file():
                raise UserError(
                    f"unsupported.model: {path.as_posix()} does not exist. docs/scoring.md says "
                    "how to get an entailment model."
                )
        try:
            import onnxruntime
            import tokenizers
        except ImportError as error:
            raise UserError(
                f"unsupported.strategy 'nli' needs a package that is not installed ({error}). "
                f"Install it: {_INSTALL}"
            ) from error
        described = read_settings(config, _ModelConfig)
        self._entailment = _index_of_entailment(described.id2label, config)
        self._padding = described.pad_token_id or 0
        longest = min(_LONGEST_INPUT, described.max_position_embeddings)
        self._longest_hypothesis = longest // 2
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(longest, stride=longest // 4, strategy="only_first")
            self._session = onnxruntime.InferenceSession(
                str(model), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both libraries raise exceptions of their own, of no class
            raise UserError(f"unsupported.model: {model.parent.as_posix()}: {error}") from error
        self._inputs = {put.name for put in self._session.get_inputs()}

    def __call__(self, claims: Sequence[Claim]) -> list[float]:
        """The probability that each passage entails its answer; equal claims are asked once."""
        support: dict[Claim, float] = dict.fromkeys(claims, 0.0)
        different = list(support)
        for start in range(0, len(different), _CHUNK):
            windows = list(self._windows(different[start : start + _CHUNK]))
            windows.sort(key=lambda window: len(window.ids))  # little padding in each batch
            for first in range(0, len(windows), _BATCH):
                batch = windows[first : first + _BATCH]
                for window, probability in zip(batch, self._probabilities(batch), strict=True):
                    support[window.claim] = max(support[window.claim], probability)
        return [support[claim] for claim in claims]

    def _windows(self, claims: Sequence[Claim]) -> Iterator[_Window]:
        pairs = [(claim.passage, self._hypothesis(claim)) for claim in claims]
        for claim, whole in zip(claims, self._tokenizer.encode_batch(pairs), strict=True):
            for window in (whole, *whole.overflowing):
                yield _Window(claim, window.ids, window.type_ids)

    def _hypothesis(self, claim: Claim) -> str:
        """What the passage should entail; of a longer one, as much as fits half of the input."""
        text = f'The answer to the question "{claim.question}" is: {claim.answer}'
        tokens = self._tokenizer.encode(text, add_special_tokens=False)
        if len(tokens.ids) <= self._longest_hypothesis:
            return text
        return text[: tokens.offsets[self._longest_hypothesis][0]]

    def _probabilities(self, windows: Sequence[_Window]) -> list[float]:
        shape = (len(windows), max(len(window.ids) for window in windows))
        arrays = {
            "input_ids": np.full(shape, self._padding, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for row, window in enumerate(windows):
            arrays["input_ids"][row, : len(window.ids)] = window.ids
            arrays["attention_mask"][row, : len(window.ids)] = 1
            arrays["token_type_ids"][row, : len(window.ids)] = window.types
        fed = {name: array for name, array in arrays.items() if name in self._inputs}
        (logits,) = self._session.run(["logits"], fed)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
        probabilities = exponentials[:, self._entailment] / exponentials.sum(axis=1)
        return [float(probability) for probability in probabilities]


def _index_of_entailment(labels: dict[str, str], path: Path) -> int:
    """Which of the model's outputs means entailment."""
    for index, label in labels.items():
        if label.lower() == "entailment":
            return int(index)
    raise UserError(
        f"{path.as_posix()}: id2label has no label 'entailment' (it has {list(labels.values())}); "
        "unsupported.model must be a model for natural-language inference"
    )
