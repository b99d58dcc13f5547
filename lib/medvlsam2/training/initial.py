"""Starts a training from the weights of another model folder, part by part."""

from __future__ import annotations

import logging
from pathlib import Path

from medvlsam2.errors import InvalidConfig
from medvlsam2.model import checkpoint
from medvlsam2.model.medvlsam2 import MedVLSAM2

logger = logging.getLogger(__name__)

PARTS = ("vit", "projector", "language", "seg_projector", "sam2")


def take_parts(model: MedVLSAM2, folder: Path) -> tuple[str, ...]:
    """Copy the weights of every part that has the same shapes in both models; the others stay as they were drawn.

    Args:
        model: the model to be trained, with the other one's tokenizer.
        folder: the other model's folder; its current version is read.

    Returns:
        Names of the parts that were taken.

    Raises:
        InvalidConfig: if no part fits.
    """
    other = checkpoint.load(folder).model
    taken = []
    for name in PARTS:
        own, given = getattr(model, name).state_dict(), getattr(other, name).state_dict()
        if {key: tensor.shape for key, tensor in own.items()} == {key: tensor.shape for key, tensor in given.items()}:
            getattr(model, name).load_state_dict(given)
            taken.append(name)
    if not taken:
        raise InvalidConfig(
            f"No part of '{folder.name}' has the shapes of preset '{model.config.model_id}'. Name a model of the same "
            "size, or leave it out."
        )
    logger.info("took %s from %s", ", ".join(taken), folder.name)
    return tuple(taken)
