"""How a model is trained; every field is an option of ``medvlsam2 train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medvlsam2.errors import InvalidConfig

Stage = Literal[0, 1, 2, 3]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run."""

    preset: str = "nano"
    """Size of the model (tiny_random, nano, base, large)."""
    stages: tuple[int, ...] = (0, 1, 2, 3)
    """Stages to run, in order: 0 language, 1 projector, 2 vision and LoRA, 3 joint with masks."""
    minutes: tuple[float, ...] = (3.0, 1.0, 6.0, 60.0)
    """Minutes for each of the stages; the learning rate reaches its end with them."""
    learning_rates: tuple[float, ...] = (2e-3, 1e-3, 6e-4, 8e-4)
    """Highest learning rate of each of the stages 0 to 3."""
    phantoms: int = 200
    """Number of phantoms to draw and to train on."""
    phantom_seed: int = 1000
    """Seed of the first phantom; the others follow."""
    seed: int = 0
    """Seed of weights and sampling."""
    texts_per_step: int = 32
    """Stage 0: conversations in a step."""
    volumes_per_step: int = 3
    """Stages 1 and 2: volumes in a step."""
    conversations_per_volume: int = 6
    """Stages 1 and 2: conversations about each of them."""
    cases_per_step: int = 2
    """Stage 3: scans in a step."""
    slices_per_case: int = 6
    """Stage 3: slices of each of them."""
    objects_per_case: int = 6
    """Stage 3: structures or findings of each of them."""
    memory_share: float = 0.25
    """Stage 3: share of steps on a clip of neighbouring slices of one scan, with memory."""
    alignment_shares: tuple[float, float] = (0.5, 0.08)
    """Stages 2 and 3: share of steps in which the [SEG] state learns to tell requests apart."""
    requests_per_alignment: int = 16
    """Structures in such a step, each in two wordings."""
    dense_share: float = 0.3
    """Stage 3: share of the steps with masks that compare words with pixels, for models with the similarity term."""
    structures_per_dense: int = 20
    """Stage 3: structures of each scan in such a step."""
    conversation_share: float = 0.1
    """Stage 3: share of steps that answer questions, so that language is not forgotten."""
    clip_slices: int = 5
    """Stage 3: slices of such a clip."""
    real_share: float = 0.5
    """Stage 3: share of real scans among the cases, where there are any; those with more structures come more often."""
    warmup_steps: int = 50
    """Steps until the highest learning rate."""
    weight_decay: float = 0.02
    """AdamW's weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    checkpoint_minutes: float = 3.0
    """Minutes between two checkpoints."""

    def __post_init__(self) -> None:
        if not self.stages or not set(self.stages) <= {0, 1, 2, 3}:
            raise InvalidConfig(f"stages {self.stages} given; allowed are some of 0, 1, 2, 3.")
        if len(self.minutes) != len(self.stages):
            raise InvalidConfig(
                f"{len(self.minutes)} values of minutes for {len(self.stages)} stages. Give one for each stage."
            )
        if len(self.learning_rates) != 4:
            raise InvalidConfig(f"{len(self.learning_rates)} learning rates given; give four, for stages 0 to 3.")
