"""Scores on the hold-out, and where they are kept: in the metadata of the versions, for good.

Versions are never changed once written, so the scores survive a restart, and a roll-back to an older version: a version
that answered requests once keeps its part in what the next candidate must reach. Who does not want that removes its
folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from transformers import PreTrainedTokenizerBase

from medvlsam2.model import version_folders
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.cases import Case
from medvlsam2.training.finetuning.gate import Measured, Scores, Sizes
from medvlsam2.training.validate import MAX_STRUCTURES, text_dice

KEY: Final = "hold_out"
"""The record in a version's metadata."""
MEASURE: Final = 1
"""Number of the way in which scores are measured. Scores of another way are not comparable: count it up with a change
of :func:`medvlsam2.training.validate.text_dice`."""


def measure(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case]) -> Scores:
    """Dice of words alone on each scan of the hold-out.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        cases: the hold-out. Of a phantom, which has some 40 structures, eight are looked at; of a scan all.
    """
    return {
        scan_key(case): text_dice(model, tokenizer, [case], MAX_STRUCTURES if case.is_phantom else len(case.keys))
        for case in cases
    }


def sizes(cases: Sequence[Case]) -> Sizes:
    """Pixels of each structure on each scan of the hold-out, on the model's mask grid."""
    found: dict[str, dict[str, int]] = {}
    for case in cases:
        masks = {key: case.structure_mask(key) for key in case.present_keys}
        found[scan_key(case)] = {key: int(mask.sum()) for key, mask in masks.items() if mask is not None}
    return found


def scan_key(case: Case) -> str:
    """Names a scan by its voxels and labels on the model's grids, so by nothing of a patient."""
    digest = hashlib.sha256(json.dumps(case.keys).encode())
    for array in (case.hu, case.labels):
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def record(before: Measured, after: Scores) -> dict[str, Any]:
    """What a version's metadata keeps: its own scores, and those of the version that it was trained from."""
    return {"measure": MEASURE, "before": before.scores, "before_version": before.version, "after": after}


def recorded(model_dir: Path) -> list[Measured]:
    """Scores of every version that answered requests; those of refused candidates do not count."""
    found: list[Measured] = []
    for version in version_folders.versions(model_dir):
        card = _card(model_dir, version)
        kept = card.get(KEY)
        if not isinstance(kept, dict) or kept.get("measure") != MEASURE:
            continue
        found.append(Measured(str(kept["before_version"]), kept["before"]))
        if card.get("published"):
            found.append(Measured(version, kept["after"]))
    return found


def _card(model_dir: Path, version: str) -> dict[str, Any]:
    path = version_folders.version_folder(model_dir, version) / version_folders.METADATA
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the base has its card elsewhere, and no scores
        return {}
    return card if isinstance(card, dict) else {}
