"""Round spots in an organ that are darker or brighter than its tissue: cysts, metastases.

The tissue is the organ's median. A spot differs from it by more than the noise, holds a ball, is no longer than wide,
and is not the piece of a vessel, which goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float

from medvlsam2.tasks.measure.candidates.blobs import attached, blobs, is_round, least_mm
from medvlsam2.tasks.measure.candidates.detection import Detection, Looked, Organs, Refused
from medvlsam2.tasks.measure.candidates.window import Mask, Window

SIGMA_MM: Final = 1.5
"""Smoothing against noise; half the radius of the smallest spot that is looked for."""
SIGMA_OF_MAD: Final = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
NOISE: Final = 3.0
"""A spot's voxels differ from the tissue by so many standard deviations of the smoothed tissue."""
MIN_ORGAN_ML: Final = 20.0
"""Of less of an organ the median is not its tissue's."""


def organ_spots(detection: Detection, key: str, organs: Organs) -> Looked:
    """Spots of one density in one organ, each grown to the middle of its edge.

    Args:
        detection: its ``limits`` are: ``min_hu``, ``max_hu`` of a spot's core; ``darker_hu``, by how much the core must
            be darker than the tissue; ``rim_mm``, depth of the organ's edge that is left out; ``min_mm``, diameter;
            ``max_elongation``, ``min_roundness``, ``max_attached`` of its shape.
        key: of the organ.
        organs: masks.
    """
    kept = organs.need(key, min_confidence=detection.min_confidence)
    window = Window.round(organs.volume, [kept], SIGMA_MM)
    organ = window.paste(kept)
    if organ.sum() * window.voxel_ml < MIN_ORGAN_ML:
        raise Refused("Too little of the organ is seen.")
    spots = tuple(window.kept(spot) for spot in _spots(detection, organ, window))
    return Looked(spots=spots, unseen=f"smaller than {least_mm(detection, window):.0f} mm")


def _spots(detection: Detection, organ: Mask, window: Window) -> Iterator[Mask]:
    limits, hu = detection.limits, window.smooth_hu(SIGMA_MM)
    inner = window.shrunk(organ, max(limits["rim_mm"], 0.5 * max(window.spacing_mm)))
    if not inner.any():
        return
    tissue, noise = _tissue(hu[inner])
    if tissue - limits["darker_hu"] < limits["min_hu"]:
        return
    edge = tissue - max(0.5 * limits["darker_hu"], NOISE * noise)
    dark = inner & (hu < edge) & (hu > limits["min_hu"] - 2 * limits["darker_hu"])
    for blob in blobs(dark, window.spacing_mm, max(2.5, 0.75 * max(window.spacing_mm))):
        if not is_round(blob, detection, window):
            continue
        spot = blob.on(window)
        if attached(spot, dark) > limits["max_attached"]:
            continue
        core_hu = float(np.median(hu[_core(spot, window)]))
        if limits["min_hu"] <= core_hu <= limits["max_hu"] and tissue - core_hu >= limits["darker_hu"]:
            half = hu < (tissue + core_hu) / 2
            yield window.grown(spot, max(window.spacing_mm)) & organ & half


def _tissue(hu: Float[np.ndarray, " n"]) -> tuple[float, float]:
    middle = float(np.median(hu))
    return middle, SIGMA_OF_MAD * float(np.median(np.abs(hu - middle)))


def _core(spot: Mask, window: Window) -> Mask:
    core = window.shrunk(spot, max(window.spacing_mm))
    return core if core.any() else spot
