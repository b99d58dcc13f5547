"""Steps in which the [SEG] state learns to tell requests apart (stages 2 and 3).

The requests of a step are about one volume, each in two wordings. Two wordings of one structure should give the same
prompt token, and two structures different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data import vocabulary
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.samples import draw_keys, draw_request
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.pixels.losses import alignment_loss
from medvlsam2.training.steps.turns import request_tokens


@dataclass(frozen=True)
class AlignmentStep(Step):
    """One volume, and requests about it in two wordings."""

    whole: Float[Tensor, "1 d h w"]
    wordings: tuple[str, ...]
    """Entries 2n and 2n + 1 are two wordings for one structure."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> AlignmentStep:
        """Structures of one case, and their mirror images."""
        case = source.draw_case(rng, real_share=source.config.real_share)
        return cls(case.whole_volume(), tuple(paired_requests(case, rng, source.config.requests_per_alignment)))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """InfoNCE of the two wordings' tokens, plus the language loss of the answers."""
        image_tokens = model.encode_volume(self.whole[None])
        tokens, language_loss = request_tokens(model, tokenizer, image_tokens, [self.wordings])
        loss = alignment_loss(tokens[0::2].float(), tokens[1::2].float())
        return StepResult(loss + language_loss, {"alignment": loss.detach()})

    @property
    def num_samples(self) -> int:
        """One volume."""
        return 1


def paired_requests(case: Case, rng: np.random.Generator, count: int) -> list[str]:
    """Two wordings each for some of a case's structures and their mirror images, since sides are hardest.

    Args:
        case: the scan.
        rng: source of every choice.
        count: at most so many structures, mirror images included.
    """
    drawn = draw_keys(case.present_keys, rng, count)
    keys = list(dict.fromkeys(key for one in drawn for key in (one, vocabulary.mirror(one))))[:count]
    return [draw_request(key, rng) for key in keys for _ in range(2)]
