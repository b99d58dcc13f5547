"""Steps of text tasks without an image (stage 4): questions to queries, phrases to objects, facts to sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language.tokenizer import IGNORED_LABEL
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.task_pairs import draw_pairs
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.transforms.text import TokenPair, batch_of, encode_pairs

DRAWN: Final = 128
"""Pairs that are drawn for a step; of these, neighbours in length are read, which need little padding."""


@dataclass(frozen=True)
class TaskStep(Step):
    """Prompts and answers of similar length."""

    pairs: tuple[TokenPair, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> TaskStep:
        """Pairs of all tasks, as many as the step's tokens allow and at least one."""
        drawn = encode_pairs(source.tokenizer, draw_pairs(rng, DRAWN))
        by_length = sorted((pair for pair in drawn if len(pair) <= source.max_tokens), key=len)
        last = int(rng.integers(len(by_length)))
        count = max(1, source.config.tokens_per_step // len(by_length[last]))
        return cls(tuple(by_length[max(0, last + 1 - count) : last + 1]))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Cross-entropy of the answers."""
        answered = answer(model, tokenizer, self.pairs)
        exact = answered.exact.float().mean()
        return StepResult(answered.loss, {"language": answered.loss.detach(), "exact": exact})

    @property
    def num_samples(self) -> int:
        """Pairs."""
        return len(self.pairs)


@dataclass(frozen=True)
class Answered:
    """How the model answers some prompts."""

    loss: Float[Tensor, ""]
    """Mean cross-entropy of the answers' tokens."""
    exact: Bool[Tensor, " k"]
    """Whether the model, writing greedily, gives exactly the answer."""


def answer(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[TokenPair]) -> Answered:
    """Read prompts with their right answers; a greedy writer gives an answer if each of its tokens is the likeliest."""
    device = next(model.parameters()).device
    batch = batch_of(tokenizer, pairs)
    labels = batch.labels[:, 1:]
    # Found here: the host would have to wait for positions that a mask on the device chooses.
    row_of, position_of = (labels != IGNORED_LABEL).nonzero(as_tuple=True)
    rows, positions, targets = (part.to(device) for part in (row_of, position_of, labels[row_of, position_of]))
    language = model.language
    embedded = language.embed_prompt(batch.input_ids.to(device), None)
    hidden = language.read(embedded, batch.attention_mask.to(device), None)
    # [n, hidden] -> [n, vocab]: logits at the answers' tokens alone
    logits = language.logits(hidden[rows, positions]).float()
    wrong = torch.zeros(len(labels), device=device).index_add(0, rows, (logits.argmax(dim=-1) != targets).float())
    return Answered(F.cross_entropy(logits, targets), wrong == 0)
