"""All kinds of step, and the share of each kind in each stage.

A new kind takes a file with a class, the class's name in ``STEPS`` and its share in ``mix``.
"""

from __future__ import annotations

from typing import Final

from medvlsam2.errors import DatasetError
from medvlsam2.training.steps.alignment import AlignmentStep
from medvlsam2.training.steps.base import Source, Step
from medvlsam2.training.steps.conversation import ConversationStep
from medvlsam2.training.steps.distil import DistilStep
from medvlsam2.training.steps.picture import PictureStep
from medvlsam2.training.steps.pixels.clip import ClipStep
from medvlsam2.training.steps.pixels.dense import DenseStep
from medvlsam2.training.steps.pixels.masks import MaskStep
from medvlsam2.training.steps.tasks import TaskStep
from medvlsam2.training.steps.text import CopyStep, ReadingStep, TextStep

STEPS: Final[dict[str, type[Step]]] = {
    "text": TextStep,
    "copy": CopyStep,
    "reading": ReadingStep,
    "conversation": ConversationStep,
    "alignment": AlignmentStep,
    "dense": DenseStep,
    "masks": MaskStep,
    "clip": ClipStep,
    "tasks": TaskStep,
    "distil": DistilStep,
    "picture": PictureStep,
}
"""Class of each kind by its name in ``mix``, in logs and in pictures."""


def mix(stage: int, source: Source, *, has_similarity: bool) -> dict[str, float]:
    """Share of each kind of step in a stage.

    Args:
        stage: 0 to 4.
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
    if stage == 4:
        picture = config.picture_share * source.is_talkative
        return {"tasks": 1 - config.distil_share - picture, "distil": config.distil_share, "picture": picture}
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
