"""Steps of questions about volumes and reports of them (stages 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.conversation_samples import ConversationSample, conversation_sample
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.turns import answers_loss

REAL_SHARE_PART = 0.5
"""The share of real scans is this part of what it is in other steps.

Phantoms have findings, reports and every kind of question; the labels of a real scan prove few answers."""


@dataclass(frozen=True)
class ConversationStep(Step):
    """Some volumes, and questions about each; the model predicts the answers."""

    whole: Float[Tensor, "v 1 d h w"]
    samples: tuple[ConversationSample, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> ConversationStep:
        """Cases of which enough is known to ask about them."""
        config = source.config
        volumes: list[Tensor] = []
        samples: list[ConversationSample] = []
        while len(volumes) < config.volumes_per_step:
            case = source.draw_case(rng, real_share=config.real_share * REAL_SHARE_PART)
            if case.facts is None:
                continue
            found = conversation_sample(
                case.facts, rng, config.conversations_per_volume, measured_share=config.measured_share
            )
            if found is not None:
                volumes.append(case.whole_volume())
                samples.append(found)
        return cls(torch.stack(volumes), tuple(samples))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Cross-entropy of the answers."""
        loss = answers_loss(model, tokenizer, model.encode_volume(self.whole), self.samples)
        return StepResult(loss, {"language": loss.detach()})

    @property
    def num_samples(self) -> int:
        """Volumes."""
        return len(self.whole)
