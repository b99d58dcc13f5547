"""Segmentation by a box and five clicks, placed as the CVPR 2025 interactive 3-D challenge places them.

The box is the object's true 3-D bounding box. Each click goes to the middle (the deepest voxel) of the largest
connected error: a positive click where the object was missed, a negative click where too much was found. No words are
given.
Reference: CVPR-MedSegFM, ``CVPR25_iter_eval.py``; its area under the curve is the trapezoid over the five clicks: 4 at
most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.integrate import trapezoid
from scipy.ndimage import distance_transform_edt, generate_binary_structure, label

from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.words import MIN_VOXELS, large_enough
from medvlsam2.evaluation.metrics import Mask, bounding_slices, surface_dice
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.geometry import spacing_mm
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.voxel_box import BoxIJK

TASK: Final = "interactive"
NUM_CLICKS: Final = 5
GOOD: Final = 0.9
_NEIGHBOURS: Final = generate_binary_structure(3, 3)


@dataclass(frozen=True)
class SimulatedClick:
    """A click of the simulated annotator."""

    point_ijk: tuple[float, float, float]
    is_inside: bool
    """Whether it is on the object."""


def measure_interactive(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Scores after the box and after each click, for each structure of a real scan and each finding of a phantom."""
    for subject, truth in _objects(scan):
        masks = _masks_by_prompt(engine, scan, truth)
        curve = [dice(mask, truth) for mask in masks]
        alone = _find(engine, scan, None, [next_click(np.zeros_like(truth), truth)])
        values = {f"dice after {when(number)}": score for number, score in enumerate(curve)} | {
            "dice final": curve[-1],
            "dice auc": auc(curve[1:]),
            "nsd final": surface_dice(masks[-1], truth, spacing_mm(scan.volume.affine)),
            "clicks to 90 %": clicks_to(GOOD, curve),
            "reached 90 %": float(max(curve) >= GOOD),
            "dice of one click, no box": dice(alone, truth),
        }
        for metric, value in values.items():
            yield Measurement(TASK, scan.group, subject, metric, scan.patient, value)


def next_click(predicted: Mask, truth: Mask) -> SimulatedClick | None:
    """The next click of an annotator; None where the mask is right.

    Args:
        predicted: the mask so far.
        truth: the true mask.
    """
    error = predicted != truth
    if not error.any():
        return None
    box = bounding_slices(error)
    pieces, _ = label(error[box], _NEIGHBOURS)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = np.pad(pieces == sizes.argmax(), 1)
    deepest = np.unravel_index(int(distance_transform_edt(largest).argmax()), largest.shape)
    i, j, k = (int(index) - 1 + part.start for index, part in zip(deepest, box, strict=True))
    return SimulatedClick((float(i), float(j), float(k)), bool(truth[i, j, k]))


def auc(scores: Sequence[float]) -> float:
    """Trapezoid under the scores after each click.

    Example:
        >>> auc([1.0, 1.0, 1.0, 1.0, 1.0])
        4.0
    """
    return float(trapezoid(scores))


def clicks_to(good: float, curve: Sequence[float]) -> float:
    """Clicks until the score is good: 0 if the box is enough, one more than all clicks if the score never is.

    Example:
        >>> clicks_to(0.9, [0.5, 0.8, 0.95]), clicks_to(0.9, [0.5, 0.8, 0.85])
        (2.0, 3.0)
    """
    return float(next((number for number, score in enumerate(curve) if score >= good), len(curve)))


def bounding_box(truth: Mask) -> BoxIJK:
    """The half-open box round an object."""
    i, j, k = bounding_slices(truth)
    return i.start, i.stop, j.start, j.stop, k.start, k.stop


def _objects(scan: LabelledScan) -> list[tuple[str, Mask]]:
    if scan.is_pseudo:
        return []
    if scan.lesion_map is None or scan.facts is None:
        return list(large_enough(scan.truth).items())
    lesions = [(each.kind, scan.lesion_map == each.label_value) for each in scan.facts.lesions]
    return [(kind, mask) for kind, mask in lesions if mask.sum() >= MIN_VOXELS]


def _masks_by_prompt(engine: Engine, scan: LabelledScan, truth: Mask) -> list[Mask]:
    """Masks after the box and after each click."""
    box = bounding_box(truth)
    clicks: list[SimulatedClick | None] = []
    masks = [_find(engine, scan, box, clicks)]
    for _ in range(NUM_CLICKS):
        click = next_click(masks[-1], truth)
        clicks.append(click)
        masks.append(masks[-1] if click is None else _find(engine, scan, box, clicks))
    return masks


def _find(engine: Engine, scan: LabelledScan, box: BoxIJK | None, clicks: Sequence[SimulatedClick | None]) -> Mask:
    given = [click for click in clicks if click is not None]
    prompt = ObjectPrompt(
        points_ijk=tuple(click.point_ijk for click in given),
        point_labels=tuple(int(click.is_inside) for click in given),
        box_ijk=box,
    )
    mask: Mask = segment(engine, scan.volume, [prompt]).label_map == 1
    return mask


def when(number: int) -> str:
    """Name of a step: the box, then each click."""
    return "box" if number == 0 else f"click {number}"
