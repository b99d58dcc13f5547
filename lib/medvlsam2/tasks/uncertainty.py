"""How unsure the model is of a scan; active learning proposes the scan with the highest value."""

from __future__ import annotations

from typing import Final

import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.propagation.word_seeds import masks_without_memory
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.transforms.slice_choice import evenly_spaced

SLICES: Final = 24
"""Slices that are looked at, spread over the scan."""
STRUCTURES: Final = 12
"""So many structures are searched for: the first in the model's metadata, without findings."""


def uncertainty(engine: Engine, volume: CTVolume) -> float:
    """Mean doubt over structures and slices: 0 sure, 1 unsure.

    On a slice where the object score says "present" the confidence is score x predicted IoU, on any other slice it is
    the confidence that the object is absent. Doubt is 1 minus the confidence.
    """
    with engine.requests.one():
        with engine.lease():
            session = engine.session(volume)
            known = session.loaded.metadata["structures"] or list(vocabulary.STRUCTURES)
            keys = [key for key in known if not vocabulary.STRUCTURES[key].is_finding][:STRUCTURES]
            tokens = session.text_tokens([vocabulary.STRUCTURES[key].name for key in keys])
        numbers = evenly_spaced(session.num_slices, SLICES)
        found = masks_without_memory(session.loaded.model.sam2, session.features("soft"), tokens, numbers, engine.lease)
    doubts = []
    for masks in found:
        score = masks.object_score_logits[:, 0].float().sigmoid()
        confidence = torch.where(score > 0.5, score * masks.iou[:, 0].float().clamp(0, 1), 1 - score)
        doubts.append(1 - confidence)
    return float(torch.cat(doubts).mean())
