"""Kinds of step without an image, from which the language model learns its words and to read what masks measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language.corpus import random_facts, sentences
from medvlsam2.data.language.repeats import repeated_list
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.samples import Talk, talk
from medvlsam2.training.steps.base import Kind, Source
from medvlsam2.training.steps.masks import StepResult, reading_step, text_step
from medvlsam2.transforms.text import encode, encode_turns, prefix_ids


@dataclass(frozen=True)
class Texts(Kind):
    """Conversations without an image."""

    rows: tuple[Int[Tensor, " _"], ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Texts:
        """The next conversations of the corpus; of one that is too long its beginning."""
        texts = sentences(int(rng.integers(2**31)), source.config.texts_per_step)
        return cls(tuple(torch.tensor(encode(source.tokenizer, text)[: source.max_tokens]) for text in texts))

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Predict every token."""
        return text_step(model, self.rows)

    @property
    def num_samples(self) -> int:
        """Texts."""
        return len(self.rows)


@dataclass(frozen=True)
class Copies(Kind):
    """Lists that come twice, the second of which is learnt."""

    rows: tuple[Int[Tensor, " _"], ...]
    starts: tuple[int, ...]
    """Where the second list of each row begins."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Copies:
        """Lists of what imagined scans measure."""
        lists = [
            [encode(source.tokenizer, text) for text in repeated_list(rng)] for _ in range(source.config.texts_per_step)
        ]
        rows = tuple(torch.tensor((first + again)[: source.max_tokens]) for first, again in lists)
        return cls(rows, tuple(len(first) for first, _ in lists))

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Predict the second lists."""
        return text_step(model, self.rows, self.starts)

    @property
    def num_samples(self) -> int:
        """Lists."""
        return len(self.rows)


@dataclass(frozen=True)
class Readings(Kind):
    """Questions about imagined scans that are only told of: every answer stands in what masks measure."""

    talks: tuple[Talk, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Readings:
        """Imagined scans of which something is known, and no more than the model reads."""
        config = source.config
        talks: list[Talk] = []
        while len(talks) < config.scans_per_reading:
            found = talk(random_facts(rng), rng, config.conversations_per_volume, measured_share=1.0)
            if found is not None and _num_tokens(source.tokenizer, found) <= source.max_tokens:
                talks.append(found)
        return cls(tuple(talks))

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Answer from what is told."""
        return reading_step(model, tokenizer, self.talks)

    @property
    def num_samples(self) -> int:
        """Scans."""
        return len(self.talks)


def _num_tokens(tokenizer: PreTrainedTokenizerBase, told: Talk) -> int:
    """Of what is told without an image and the longest conversation about it."""
    return len(prefix_ids(tokenizer, 0, told.measured)) + encode_turns(tokenizer, told.conversations).input_ids.shape[1]
