"""Kinds of step about scans, and which of all kinds each stage mixes.

Adding a kind takes a class, its name in ``KINDS`` and its share in ``mix``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.errors import DatasetError
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.samples import (
    DenseSample,
    SegmentationSample,
    dense_sample,
    paired_requests,
    segmentation_sample,
    talk,
)
from medvlsam2.training.steps.base import Kind, Source
from medvlsam2.training.steps.dense import dense_step
from medvlsam2.training.steps.masks import (
    StepResult,
    alignment_step,
    conversation_step,
    segmentation_step,
)
from medvlsam2.training.steps.text import Copies, Readings, Texts
from medvlsam2.transforms.text import Conversation


def _whole(case: Case) -> Float[Tensor, "1 d h w"]:
    return torch.from_numpy(np.array(case.whole, dtype=np.float32))


@dataclass(frozen=True)
class Talks(Kind):
    """Questions and reports about volumes."""

    whole: Float[Tensor, "v 1 d h w"]
    conversations: tuple[tuple[Conversation, ...], ...]
    measured: tuple[str | None, ...]
    """What masks of each volume measure, in words."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Talks:
        """Cases of which enough is known, half as many of them real as elsewhere."""
        config = source.config
        chosen: list[Tensor] = []
        talks: list[tuple[Conversation, ...]] = []
        measured: list[str | None] = []
        while len(chosen) < config.volumes_per_step:
            case = source.draw_case(rng, real_share=config.real_share / 2)
            if case.facts is None:
                continue
            found = talk(case.facts, rng, config.conversations_per_volume, measured_share=config.measured_share)
            if found is not None:
                chosen.append(_whole(case))
                talks.append(found.conversations)
                measured.append(found.measured)
        return cls(torch.stack(chosen), tuple(talks), tuple(measured))

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Answer them."""
        return conversation_step(model, tokenizer, self.whole, self.conversations, self.measured)

    @property
    def num_samples(self) -> int:
        """Volumes."""
        return len(self.whole)


@dataclass(frozen=True)
class Wordings(Kind):
    """Requests about one volume, each in two wordings."""

    whole: Float[Tensor, "1 d h w"]
    wordings: tuple[str, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Wordings:
        """Structures of one case and their mirror images."""
        case = source.draw_case(rng, real_share=source.config.real_share)
        return cls(_whole(case), tuple(paired_requests(case, rng, source.config.requests_per_alignment)))

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Tell them apart."""
        return alignment_step(model, tokenizer, self.whole, self.wordings)

    @property
    def num_samples(self) -> int:
        """One volume."""
        return 1


@dataclass(frozen=True)
class Dense(Kind):
    """Many structures against every pixel of some slices."""

    samples: tuple[DenseSample, ...]

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Dense:
        """Slices of some cases, or a window of them; where the trunk takes any size."""
        config = source.config
        near = source.sam2.trunk == "conv" and bool(rng.random() < config.window_share)
        return cls(
            tuple(
                dense_sample(
                    source.draw_case(rng, real_share=config.real_share),
                    rng,
                    num_slices=config.slices_per_dense,
                    num_structures=config.structures_per_dense,
                    sam2=source.sam2,
                    near=near,
                )
                for _ in range(config.cases_per_step)
            )
        )

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Compare words with pixels."""
        return dense_step(model, tokenizer, self.samples)

    @property
    def num_samples(self) -> int:
        """Scans."""
        return len(self.samples)


@dataclass(frozen=True)
class Masks(Kind):
    """Objects on slices, to be drawn from words, clicks and boxes."""

    samples: tuple[SegmentationSample, ...]

    with_memory: ClassVar[bool] = False

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Masks:
        """Any slices of some cases."""
        config = source.config
        return cls(
            tuple(cls._sample(source, rng, config.slices_per_case) for _ in range(config.cases_per_step)),
        )

    @classmethod
    def _sample(cls, source: Source, rng: np.random.Generator, num_slices: int) -> SegmentationSample:
        return segmentation_sample(
            source.draw_case(rng, real_share=source.config.real_share),
            rng,
            num_slices=num_slices,
            num_objects=source.config.objects_per_case,
            contiguous=cls.with_memory,
            sam2=source.sam2,
        )

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Draw the masks."""
        return segmentation_step(model, tokenizer, self.samples, rng, with_memory=self.with_memory)

    @property
    def num_samples(self) -> int:
        """Scans."""
        return len(self.samples)


@dataclass(frozen=True)
class Clip(Masks):
    """Objects along neighbouring slices of one scan, with memory."""

    with_memory: ClassVar[bool] = True

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Clip:
        """One clip."""
        return cls((cls._sample(source, rng, source.config.clip_slices),))


KINDS: dict[str, type[Kind]] = {
    "text": Texts,
    "copy": Copies,
    "reading": Readings,
    "conversation": Talks,
    "alignment": Wordings,
    "dense": Dense,
    "masks": Masks,
    "clip": Clip,
}


def mix(stage: int, source: Source, *, has_similarity: bool) -> dict[str, float]:
    """Share of each kind of step in a stage.

    Args:
        stage: 0 to 3.
        source: what there is to draw from.
        has_similarity: whether the model compares words with pixels.

    Raises:
        DatasetError: if the stage has nothing to draw from.
    """
    if stage == 0:
        reading, copy = source.config.reading_share, source.config.copy_share
        return {"text": 1 - reading - copy, "reading": reading, "copy": copy}
    if stage < 3 and not source.is_talkative:
        raise DatasetError("No case to talk about: nothing is known of any of them. Give --phantoms or --data.")
    if stage == 1:
        return {"conversation": 1.0}
    if not source.phantoms and not source.scans:
        raise DatasetError("There is no case to train on: 0 phantoms and 0 labelled scans. Give --phantoms or --data.")
    config = source.config
    alignment = config.alignment_shares[stage - 2]
    if stage == 2:
        return {"alignment": alignment, "conversation": 1 - alignment}
    conversation = (1 - alignment) * config.conversation_share * source.is_talkative
    dense = (1 - alignment - conversation) * config.dense_share * has_similarity
    rest = 1 - alignment - conversation - dense
    return {
        "alignment": alignment,
        "conversation": conversation,
        "dense": dense,
        "masks": rest * (1 - config.memory_share),
        "clip": rest * config.memory_share,
    }
