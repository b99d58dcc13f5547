"""What a fine-tuning trains, and on which steps: each submitted scan in its turn, each time beside a phantom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from medvlsam2.training.config import STAGE_PARTS, TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.finetuning.scans import FinetuningScans
from medvlsam2.training.parts import set_trainable_for_finetuning
from medvlsam2.training.stage import StagePlan
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.pixels.masks import MaskStep, mask_sample
from medvlsam2.training.steps.stream import Drawn, StepStream, step_rng

STAGE: Final = 3
"""Masks are trained, as in the last stage of a training from the beginning."""
SLICES: Final = 3
"""Slices of each of the two scans of a step."""
OBJECTS: Final = 3
"""Structures of each of them; fewer, and smaller steps than a training's, fit beside a server."""
KIND: Final = "masks"


class SubmittedSteps(StepStream):
    """Steps with masks on one submitted scan and one phantom.

    As for every training, the n-th step is a function of the seed and n alone, so a run goes on where it stopped.

    Args:
        source: what the run was told.
        train: submitted scans.
        replay: phantoms.
        first: number of the first step.
    """

    def __init__(self, source: Source, train: Sequence[Case], replay: Sequence[Case], first: int) -> None:
        super().__init__(source, {KIND: 1.0}, 0, first)
        self._source = source
        self._train = train
        self._replay = replay

    def draw(self, number: int) -> Drawn:
        """The step of a number."""
        config, sam2 = self._source.config, self._source.sam2
        rng = step_rng(config.seed, 0, number)
        scans = self._train[number % len(self._train)], self._replay[int(rng.integers(len(self._replay)))]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            samples = tuple(
                mask_sample(
                    scan,
                    rng,
                    num_slices=config.slices_per_case,
                    num_objects=config.objects_per_case,
                    contiguous=False,
                    sam2=sam2,
                )
                for scan in scans
            )
        return Drawn(KIND, MaskStep(samples))


def plan(source: Source, scans: FinetuningScans, *, steps_per_epoch: int) -> StagePlan:
    """The one stage of a fine-tuning; each epoch is one line of its log."""
    return StagePlan(
        STAGE,
        set_trainable_for_finetuning,
        lambda first: SubmittedSteps(source, scans.train, scans.replay, first),
        steps_per_epoch,
    )


def train_config(preset: str, *, steps: int, learning_rate: float, seed: int, num_workers: int) -> TrainConfig:
    """A fine-tuning as the loop is told it.

    Args:
        preset: the model's id.
        steps: all steps.
        learning_rate: the highest.
        seed: of the sampling.
        num_workers: processes that draw samples.
    """
    return TrainConfig(
        preset=preset,
        stages=(STAGE,),
        steps=(steps,),
        learning_rates=(learning_rate,) * len(STAGE_PARTS),
        seed=seed,
        num_workers=num_workers,
        slices_per_case=SLICES,
        objects_per_case=OBJECTS,
        # A tenth of the steps, as far as a training's 50: a run on one scan has 20 steps in all.
        warmup_steps=max(1, min(TrainConfig.warmup_steps, steps // 10)),
    )
