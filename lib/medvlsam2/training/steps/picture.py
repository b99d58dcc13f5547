"""Steps of what is answered from the image by the model itself: short answers and free reports (stage 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language import chat
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.conversation_samples import ConversationSample, conversation_sample
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.turns import answers_loss
from medvlsam2.transforms.text import Conversation

TOPICS: Final = frozenset({"region", "phase", "contrast", "plane", "modality", "presence", "organ"})
"""Questions that an image of 512 patches can answer; sizes and findings are measured on masks."""
QUESTIONS: Final = 5
"""At most so many questions about one scan."""
REPORT_SHARE: Final = 0.2
"""Share of the scans of which a free report is written instead; it is ten times as long as an answer."""


@dataclass(frozen=True)
class PictureStep(Step):
    """Some scans, and what is asked about each; the model predicts the answers."""

    whole: Float[Tensor, "v 1 d h w"]
    samples: tuple[ConversationSample, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> PictureStep:
        """Cases of which enough is known to ask about them."""
        volumes: list[Tensor] = []
        samples: list[ConversationSample] = []
        while len(volumes) < source.config.volumes_per_step:
            case = source.draw_case(rng, real_share=source.config.real_share)
            found = None if case.facts is None else _sample(case.facts, rng, source.config.measured_share)
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
        """Scans."""
        return len(self.whole)


def _sample(facts: ScanFacts, rng: np.random.Generator, measured_share: float) -> ConversationSample | None:
    """Questions about the scan as a whole without its measurements, or a report."""
    if facts.lesions_known and rng.random() < REPORT_SHARE:
        return conversation_sample(facts, rng, 1, measured_share=measured_share)
    asked = [item for item in questions(facts, rng) if item.topic in TOPICS][:QUESTIONS]
    found = [Conversation(chat.answer_question(item.question, item.choices, item.kind), item.answer) for item in asked]
    return ConversationSample(tuple(found), None) if found else None
