"""What every kind of step has in common: what it is drawn from, and what it yields.

A step is drawn without the model, so that the data loader's workers can do it, and is then run with the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.config import Sam2Config
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.teacher import Teacher

IMAGES = frozenset({"whole", "slices"})
"""Fields of steps and samples that go to the device as they are."""


@dataclass(frozen=True)
class StepResult:
    """What one step yields."""

    loss: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]
    """Terms of the loss for the log, detached and still on the device: to read one, the host would have to wait."""


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
    teacher: Teacher | None = None
    """The model whose prompt tokens are learnt in stage 4."""

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


class Step(ABC):
    """One step of one kind: its samples, and how their loss is computed."""

    @classmethod
    @abstractmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> Step:
        """Choose the samples of a step."""

    @abstractmethod
    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Compute the loss.

        Args:
            model: the model, on the device that the images are on.
            tokenizer: the model's.
            rng: source of every choice that depends on the device's results or order, such as prompts.
        """

    @property
    @abstractmethod
    def num_samples(self) -> int:
        """Texts, volumes or scans in the step."""

    def pin_memory(self) -> Step:
        """With its images in page-locked memory, from where they reach a GPU while it computes."""
        return cast("Step", _map_images(self, Tensor.pin_memory))

    def to(self, device: torch.device) -> Step:
        """With its images on a device. Labels stay in the host's memory, where prompts are drawn from them."""
        return cast("Step", _map_images(self, lambda tensor: tensor.to(device, non_blocking=True)))


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
