"""The options of a training; every field is an option of ``medvlsam2 train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medvlsam2.errors import InvalidConfig

STAGE_PARTS: Final = (4.0, 2.0, 8.0, 86.0, 100.0)
"""Parts of the whole time for the stages 0 to 4, where one number of minutes is given; masks learn slowest.

Stage 4 is for a pretrained language model, and mostly a run of its own."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run."""

    preset: str = "nano"
    """Size of the model (tiny_random, nano, small, base, large)."""
    stages: tuple[int, ...] = (0, 1, 2, 3)
    """Stages to run, in order: 0 language, 1 projector, 2 vision and LoRA, 3 joint with masks, 4 text tasks and another
    model's masks."""
    minutes: tuple[float, ...] = (70.0,)
    """Minutes of all stages together, shared out 4 : 2 : 8 : 86 : 100, or of each; preparing scans comes on top."""
    steps: tuple[int, ...] = ()
    """Steps of each of the stages, in place of minutes: the run is then the same on every machine."""
    learning_rates: tuple[float, ...] = (2e-3, 1e-3, 6e-4, 8e-4, 1e-3)
    """Highest learning rate of each of the stages 0 to 4."""
    num_workers: int | None = None
    """Processes that draw samples, 0 for none; by default none beside a CPU and up to 8 beside a GPU."""
    compile: bool = False
    """Compile the slice encoder with torch.compile; it pays on a GPU in a long run."""
    channels_last: bool = False
    """Keep the slice encoder's weights in the channels-last layout."""
    synthetic: int = 40
    """New scans made of real ones by deformation and other intensities; scans with rare structures are used most."""
    phantoms: int = 200
    """Number of phantoms to draw and to train on."""
    phantom_seed: int = 1000
    """Seed of the first phantom; the others follow."""
    seed: int = 0
    """Seed of weights and sampling."""
    texts_per_step: int = 32
    """Stage 0: conversations in a step, or lists in one that copies."""
    copy_share: float = 0.3
    """Stage 0: share of steps on lists that come twice, so that the model learns to copy from what it has read."""
    reading_share: float = 0.5
    """Stage 0: share of steps that answer questions from measurements in words, without an image."""
    scans_per_reading: int = 8
    """Imagined scans in such a step."""
    volumes_per_step: int = 3
    """Stages 1 and 2: volumes in a step."""
    measured_share: float = 0.85
    """Stages 1 to 3: share of volumes whose questions come after the measurements of their masks."""
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
    slices_per_dense: int = 10
    """Stage 3: slices of each scan in such a step."""
    structures_per_dense: int = 20
    """Stage 3: structures of each scan in such a step."""
    window_share: float = 0.5
    """Stage 3: share of such steps that show a window of the slices near a structure, for convolutional trunks."""
    conversation_share: float = 0.1
    """Stage 3: share of steps that answer questions, so that language is not forgotten."""
    clip_slices: int = 5
    """Stage 3: slices of such a clip."""
    real_share: float = 0.5
    """Stage 3: share of real scans among the cases, where there are any; those with more structures come more often."""
    distil_share: float = 0.35
    """Stage 4: share of steps in which [SEG] learns to give the prompt tokens of the model named by --teacher."""
    requests_per_distil: int = 32
    """Stage 4: requests in such a step, all about one scan."""
    picture_share: float = 0.05
    """Stage 4: share of steps that answer short questions about a scan as a whole from its image alone."""
    tokens_per_step: int = 1400
    """Stage 4: tokens of the prompts and answers in each of the other steps, those of text tasks."""
    warmup_steps: int = 50
    """Steps until the highest learning rate."""
    weight_decay: float = 0.02
    """AdamW's weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    ema_decay: float = 0.999
    """Decay of the running average of the weights, which is what is validated and saved; 0 keeps none."""
    validation_minutes: float = 10.0
    """Minutes between two validations in the last stage, whose best weights are saved."""
    validation_cases: int = 6
    """Real scans of the val split, and as many phantoms of other seeds, on which they are done; 0 for none."""
    checkpoint_minutes: float = 3.0
    """Minutes between two checkpoints."""

    @property
    def stage_minutes(self) -> tuple[float, ...]:
        """Minutes for each of the stages; the learning rate reaches its end with them."""
        if len(self.minutes) == len(self.stages):
            return self.minutes
        parts = [STAGE_PARTS[stage] for stage in self.stages]
        return tuple(self.minutes[0] * part / sum(parts) for part in parts)

    def __post_init__(self) -> None:
        if not self.stages or not set(self.stages) <= set(range(len(STAGE_PARTS))):
            raise InvalidConfig(f"stages {self.stages} given; allowed are some of 0, 1, 2, 3, 4.")
        if len(self.minutes) not in (1, len(self.stages)):
            raise InvalidConfig(
                f"{len(self.minutes)} values of minutes for {len(self.stages)} stages. Give one for all of them "
                "together, or one for each."
            )
        if min(self.minutes) <= 0:
            raise InvalidConfig(f"minutes {self.minutes} given; each must be more than 0.")
        if self.steps and (len(self.steps) != len(self.stages) or min(self.steps) < 1):
            raise InvalidConfig(
                f"steps {self.steps} given for {len(self.stages)} stages. Give a number of at least 1 for each of "
                "them, or none to go by minutes."
            )
        if len(self.learning_rates) != len(STAGE_PARTS):
            raise InvalidConfig(f"{len(self.learning_rates)} learning rates given; give five, for stages 0 to 4.")
        if min(self.copy_share, self.reading_share, 1 - self.copy_share - self.reading_share) < 0:
            raise InvalidConfig(
                f"copy_share {self.copy_share} and reading_share {self.reading_share} given; each must be 0 or more, "
                "and both together at most 1: the rest of stage 0 are conversations."
            )
        if min(self.distil_share, self.picture_share) < 0 or self.distil_share + self.picture_share > 1:
            raise InvalidConfig(
                f"distil_share {self.distil_share} and picture_share {self.picture_share} given; each must be 0 or "
                "more, and both together at most 1: the rest of stage 4 are text tasks."
            )
        if not 0 <= self.ema_decay < 1:
            raise InvalidConfig(f"ema_decay {self.ema_decay} given; allowed is 0 (none) up to, but not, 1.")
        if self.num_workers is not None and self.num_workers < 0:
            raise InvalidConfig(f"num_workers {self.num_workers} given; give 0 or more, or leave it out.")
