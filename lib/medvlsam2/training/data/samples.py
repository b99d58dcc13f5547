"""What several kinds of step draw in the same way: structures, requests in words, and slices with their input."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medvlsam2.config import Sam2Config
from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.structures.table import Window
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.intensity_augment import augment
from medvlsam2.transforms.prepare import three_channels

COMMON = frozenset(
    (
        *("liver", "spleen", "kidney_left", "kidney_right", "kidneys", "aorta", "stomach", "pancreas"),
        *("urinary_bladder", "lung_left", "lung_right", "lungs", "heart", "spinal_cord", "hip_left", "hip_right"),
        *("vertebrae", "ribs", "femur_left", "femur_right", "gallbladder", "colon", "inferior_vena_cava", "trachea"),
        *("sacrum", "brainstem", "parotid_gland_left", "parotid_gland_right", "esophagus", "larynx", "mandible"),
        *("soft_tissue_sarcoma", "lung_tumor"),
    )
)
"""The structures that annotators ask for most often. Steps draw them most often, with weight 1."""
OTHER_WEIGHT = 0.2
"""Weight of any other structure."""
NUMBERED_WEIGHT = 0.03
"""Weight of a single rib or vertebra: there are 50 of them, which would otherwise be half of all that is drawn."""
PLAIN_NAME_SHARE = 0.7
"""Share of requests that use the structure's own name; the others draw from the name and its synonyms."""
SHOWN_SLICE_SHARE = 0.75
"""Share of a sample's further slices that show any of its objects; the others are any slices of the scan."""
CLIP_STEPS = (-2, -1, -1, 1, 1, 2)
"""Distances of a clip's neighbouring slices, in slices of the model grid: towards the feet and towards the head."""
_NUMBERED = re.compile(r"rib_|vertebrae_")


def draw_keys(keys: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """At most so many of some structures, each once; those that annotators ask for most come more often."""
    return [str(key) for key in rng.choice(keys, min(count, len(keys)), replace=False, p=key_shares(keys))]


def key_shares(keys: Sequence[str]) -> Float[np.ndarray, " n"]:
    """How often each structure is drawn; the sum is 1."""
    weights = np.array([_weight(key) for key in keys])
    return weights / weights.sum()


def draw_request(key: str, rng: np.random.Generator) -> str:
    """One of many wordings that ask for a mask of a structure."""
    structure = vocabulary.STRUCTURES[key]
    names = (structure.name, *structure.synonyms)
    name = structure.name if rng.random() < PLAIN_NAME_SHARE else str(names[int(rng.integers(len(names)))])
    return chat.segmentation_questions(name, rng)


def draw_slices(
    masks: Bool[np.ndarray, "k d m m"], rng: np.random.Generator, count: int, *, contiguous: bool
) -> Int[np.ndarray, " n"]:
    """Numbers of slices, the first of which shows one of some objects where any slice does.

    Args:
        masks: each object on every slice.
        rng: source of every choice.
        count: slices to draw.
        contiguous: a clip along the scan, in order, instead of any slices; where the scan ends, its last slice is
            repeated.
    """
    depth = masks.shape[1]
    present = masks.any(axis=(2, 3))
    candidates = np.flatnonzero(present[int(rng.integers(len(masks)))])
    centre = int(rng.choice(candidates)) if len(candidates) else int(rng.integers(depth))
    if contiguous:
        step = int(rng.choice(CLIP_STEPS))
        return np.clip(centre + step * np.arange(count), 0, depth - 1)
    any_present = np.flatnonzero(present.any(axis=0))
    others = [
        int(rng.choice(any_present))
        if len(any_present) and rng.random() < SHOWN_SLICE_SHARE
        else int(rng.integers(depth))
        for _ in range(count - 1)
    ]
    return np.array([centre, *others])


def input_slices(
    case: Case,
    numbers: Int[np.ndarray, " n"],
    window: Window,
    rng: np.random.Generator,
    *,
    sam2: Sam2Config,
) -> Float[Tensor, "n 3 s s"]:
    """Slices as the pixel decoder sees them, with their intensities augmented.

    Args:
        case: the scan.
        numbers: which slices.
        window: the window that they are shown in.
        rng: source of every choice.
        sam2: says what the three channels are.
    """
    return three_channels(augment(case.channels_hu(numbers, sam2), rng), window)


def _weight(key: str) -> float:
    if key in COMMON:
        return 1.0
    return NUMBERED_WEIGHT if _NUMBERED.match(key) else OTHER_WEIGHT
