"""Steps without an image (stage 0): the language model learns its words, to copy, and to read measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language.corpus import random_facts, sentences
from medvlsam2.data.language.repeats import repeated_list
from medvlsam2.data.language.tokenizer import IGNORED_LABEL
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.conversation_samples import ConversationSample, conversation_sample
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.turns import answers_loss
from medvlsam2.transforms.text import encode, encode_turns, pad, prefix_ids


@dataclass(frozen=True)
class TextStep(Step):
    """Conversations without an image; the model predicts every token."""

    rows: tuple[Int[Tensor, " _"], ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> TextStep:
        """Some conversations of the corpus; each is cut at the length that the model reads."""
        texts = sentences(int(rng.integers(2**31)), source.config.texts_per_step)
        return cls(tuple(torch.tensor(encode(source.tokenizer, text)[: source.max_tokens]) for text in texts))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Cross-entropy of every token."""
        loss = _text_loss(model, self.rows, [0] * len(self.rows))
        return StepResult(loss, {"language": loss.detach()})

    @property
    def num_samples(self) -> int:
        """Texts."""
        return len(self.rows)


@dataclass(frozen=True)
class CopyStep(Step):
    """Lists that come twice; the model predicts the second one and so learns to look back."""

    rows: tuple[Int[Tensor, " _"], ...]
    starts: tuple[int, ...]
    """Where the second list of each row begins."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> CopyStep:
        """Lists of measurements of imagined scans."""
        lists = [
            [encode(source.tokenizer, text) for text in repeated_list(rng)] for _ in range(source.config.texts_per_step)
        ]
        rows = tuple(torch.tensor((first + again)[: source.max_tokens]) for first, again in lists)
        return cls(rows, tuple(len(first) for first, _ in lists))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Cross-entropy of the second lists."""
        loss = _text_loss(model, self.rows, self.starts)
        return StepResult(loss, {"language": loss.detach()})

    @property
    def num_samples(self) -> int:
        """Lists."""
        return len(self.rows)


@dataclass(frozen=True)
class ReadingStep(Step):
    """Questions about imagined scans; every answer stands in the measurements that the prompt tells."""

    samples: tuple[ConversationSample, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> ReadingStep:
        """Imagined scans whose measurements and questions are no longer than the model reads."""
        config = source.config
        samples: list[ConversationSample] = []
        while len(samples) < config.scans_per_reading:
            found = conversation_sample(random_facts(rng), rng, config.conversations_per_volume, measured_share=1.0)
            if found is not None and _num_tokens(source.tokenizer, found) <= source.max_tokens:
                samples.append(found)
        return cls(tuple(samples))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Cross-entropy of the answers."""
        loss = answers_loss(model, tokenizer, None, self.samples)
        return StepResult(loss, {"language": loss.detach()})

    @property
    def num_samples(self) -> int:
        """Imagined scans."""
        return len(self.samples)


def _text_loss(model: MedVLSAM2, rows: Sequence[Int[Tensor, " _"]], starts: Sequence[int]) -> Float[Tensor, ""]:
    """Cross-entropy of each row's tokens from the row's start on."""
    device = next(model.parameters()).device
    ids, attention_mask = (part.to(device) for part in pad(rows, model.language.token_ids.pad))
    labels = ids.masked_fill(attention_mask == 0, IGNORED_LABEL)
    for row, start in zip(labels, starts, strict=True):
        row[:start] = IGNORED_LABEL
    loss = model.language(ids, attention_mask, None, labels).loss
    assert loss is not None
    return loss


def _num_tokens(tokenizer: PreTrainedTokenizerBase, sample: ConversationSample) -> int:
    """Tokens of the measurements and of the longest conversation about them, without an image."""
    turns = encode_turns(tokenizer, sample.conversations).input_ids
    return len(prefix_ids(tokenizer, 0, sample.measured)) + turns.shape[1]
