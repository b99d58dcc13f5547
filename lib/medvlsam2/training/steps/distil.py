"""Steps in which the [SEG] state learns to give another model's prompt tokens (stage 4).

The other model, the teacher, has the same pixel decoder and a language model of its own. Requests about one scan are
put to both. Known names, synonyms and phrases come in the wordings of ``chat.segmentation_questions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.language.phrases import phrases
from medvlsam2.errors import InvalidConfig
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.samples import draw_request
from medvlsam2.training.data.short_scans import sometimes_shortened
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.pixels.losses import alignment_loss
from medvlsam2.training.teacher import Teacher
from medvlsam2.transforms.text import prefix_ids, request_turns

UNKNOWN_WEIGHT: Final = 0.2
"""How often a name is asked for of which the teacher has seen no mask, against 1 for the others.

Serving asks for such names too, and its answer "not present" rests on the teacher's token."""
PHRASE_SHARE: Final = 0.25
"""Share of the requests about a phantom that are phrases like "the cyst in the left kidney"."""
APART_WEIGHT: Final = 0.2
"""Weight of the term that keeps names apart; the other term is 1 where the student gives the mean of all tokens."""


@dataclass(frozen=True)
class DistilStep(Step):
    """One scan, and requests about it with the teacher's tokens."""

    whole: Float[Tensor, "1 d h w"]
    questions: tuple[str, ...]
    targets: Float[Tensor, "k c"]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> DistilStep:
        """Names and phrases about one case.

        Raises:
            InvalidConfig: if the run has no teacher.
        """
        if source.teacher is None:
            raise InvalidConfig("Stage 4 learns masks from another model. Name one with --teacher DIR.")
        case = source.draw_case(rng, real_share=source.config.real_share)
        questions = requests(case, source.teacher, rng, source.config.requests_per_distil)
        whole = sometimes_shortened(case.whole_volume(), rng)
        return cls(whole, questions, source.teacher.tokens(whole, questions))

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Squared distance to the teacher's tokens as a part of their variance, and InfoNCE across names."""
        tokens = student_tokens(model, tokenizer, self.whole, self.questions).float()
        targets = self.targets.to(tokens.device)
        error = relative_error(tokens, targets)
        apart = alignment_loss(tokens, targets)
        return StepResult(error + APART_WEIGHT * apart, {"error": error.detach(), "apart": apart.detach()})

    @property
    def num_samples(self) -> int:
        """Requests."""
        return len(self.questions)


def requests(case: Case, teacher: Teacher, rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Requests for different things, in many wordings.

    Args:
        case: the scan; of a phantom, phrases about its findings and structures are asked for too.
        teacher: knows some names of the vocabulary better than others.
        rng: source of every choice.
        count: number of requests.
    """
    known = teacher.known_keys
    weights = np.array([1.0 if key in known else UNKNOWN_WEIGHT for key in vocabulary.STRUCTURES])
    referring = [] if case.facts is None or not case.is_phantom else phrases(case.facts, rng)
    referring = referring[: int(rng.binomial(count, PHRASE_SHARE))]
    number = min(count - len(referring), len(weights))
    keys = rng.choice(list(vocabulary.STRUCTURES), number, replace=False, p=weights / weights.sum())
    named = [draw_request(str(key), rng) for key in keys]
    return (*named, *(chat.segmentation_questions(each.phrase, rng) for each in referring))


def student_tokens(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, whole: Float[Tensor, "1 d h w"], questions: tuple[str, ...]
) -> Float[Tensor, "k c"]:
    """Prompt tokens of requests about one scan, as serving computes them."""
    device = next(model.parameters()).device
    ids = prefix_ids(tokenizer, model.config.projector.num_tokens).to(device)
    prefix = model.language.prefill(ids, model.encode_volume(whole[None].to(device)))
    turns = (part.to(device) for part in request_turns(tokenizer, questions))
    return model.request_tokens(prefix, *turns)


def relative_error(tokens: Float[Tensor, "k c"], targets: Float[Tensor, "k c"]) -> Float[Tensor, ""]:
    """Mean squared distance as a part of the targets' variance: 0 is perfect, 1 as good as their mean."""
    variance = (targets - targets.mean(dim=0)).square().mean().clamp(min=torch.finfo(targets.dtype).eps)
    return F.mse_loss(tokens, targets) / variance
