"""The kinds of training step, and which of them each stage mixes.

A kind is drawn without the model (on a worker, where there are some) and taken with it. Adding one takes a class, its
name in ``KINDS`` and its share in ``mix``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.config import Sam2Config
from medvlsam2.data.language.corpus import sentences
from medvlsam2.errors import DatasetError
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.cases import Case
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.dense_step import dense_step
from medvlsam2.training.samples import (
    DenseSample,
    SegmentationSample,
    dense_sample,
    paired_requests,
    segmentation_sample,
    talk,
)
from medvlsam2.training.step import (
    StepResult,
    alignment_step,
    conversation_step,
    segmentation_step,
    text_step,
)
from medvlsam2.transforms.text import Conversation, encode

IMAGES = frozenset({"whole", "slices"})
"""Fields of steps and samples that go to the device as they are."""


@dataclass(frozen=True)
class Source:
    """All that steps are drawn from."""

    tokenizer: PreTrainedTokenizerBase
    cases: Sequence[Case]
    config: TrainConfig
    sam2: Sam2Config
    """The pixel decoder's, for its input channels."""
    max_tokens: int
    """The longest text that the language model reads."""

    @cached_property
    def phantoms(self) -> list[Case]:
        """Drawn cases."""
        return [case for case in self.cases if case.is_phantom]

    @cached_property
    def scans(self) -> list[Case]:
        """Real cases with a structure to segment."""
        return [case for case in self.cases if not case.is_phantom and case.present_keys]

    @cached_property
    def is_talkative(self) -> bool:
        """Whether enough is known of any case to talk about it."""
        return any(case.facts is not None for case in self.cases)

    @cached_property
    def _scan_shares(self) -> Float[np.ndarray, " n"]:
        counts = np.sqrt([len(scan.keys) for scan in self.scans])
        return counts / counts.sum()

    def draw_case(self, rng: np.random.Generator, *, real_share: float) -> Case:
        """A phantom or a scan; scans with more structures come more often."""
        real = bool(self.scans) and (not self.phantoms or bool(rng.random() < real_share))
        if not real:
            return self.phantoms[int(rng.integers(len(self.phantoms)))]
        return self.scans[int(rng.choice(len(self.scans), p=self._scan_shares))]


class Kind(ABC):
    """What one step of a kind works on."""

    @classmethod
    @abstractmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Kind:
        """Choose the samples of a step."""

    @abstractmethod
    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Run the step."""

    @property
    @abstractmethod
    def num_samples(self) -> int:
        """Texts, volumes or scans in the step."""

    def pin_memory(self) -> Kind:
        """With its images in page-locked memory, from where they reach a GPU while it computes."""
        return cast("Kind", _map_images(self, Tensor.pin_memory))

    def to(self, device: torch.device) -> Kind:
        """With its images on a device. Labels stay in the host's memory, where prompts are drawn from them."""
        return cast("Kind", _map_images(self, lambda tensor: tensor.to(device, non_blocking=True)))


def _whole(case: Case) -> Float[Tensor, "1 d h w"]:
    return torch.from_numpy(np.array(case.whole, dtype=np.float32))


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
            found = talk(case, rng, config.conversations_per_volume, measured_share=config.measured_share)
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
        """Slices of some cases."""
        config = source.config
        return cls(
            tuple(
                dense_sample(
                    source.draw_case(rng, real_share=config.real_share),
                    rng,
                    num_slices=config.slices_per_dense,
                    num_structures=config.structures_per_dense,
                    sam2=source.sam2,
                )
                for _ in range(config.cases_per_step)
            )
        )

    def take(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Compare words with pixels."""
        return dense_step(model, tokenizer, self.samples, rng)

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
        return {"text": 1.0}
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


def _map_images(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same step with a function applied to each of its images."""
    if isinstance(value, tuple):
        return tuple(_map_images(item, function) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {
        field.name: function(part) if field.name in IMAGES else _map_images(part, function)
        for field in fields(value)
        if not isinstance(part := getattr(value, field.name), Tensor) or field.name in IMAGES
    }
    return replace(value, **changed)
