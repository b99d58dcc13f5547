"""Round spots in an organ that are darker than its tissue: cysts, metastases.

The tissue is the middle of the organ's brighter part, so that a large cyst does not change it. A spot is darker by more
than the noise, holds a ball, is no longer than wide, and is not the piece of a vessel, which goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from medvlsam2.tasks.measure.candidates.blobs import attached, blobs, is_round, least_mm
from medvlsam2.tasks.measure.candidates.detection import Detection, Looked, Organs, Refused
from medvlsam2.tasks.measure.candidates.window import Mask, Window

SIGMA_MM: Final = 2.0
"""Smoothing against noise; half the radius of the smallest spot that is looked for."""
SIGMA_OF_MAD: Final = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
NOISE: Final = 2.5
"""A spot's voxels differ from the tissue by so many standard deviations of the smoothed tissue."""
DARKER_SHARE: Final = 0.25
"""The darkest quarter of an organ is left out of its tissue."""
OPEN_VOXELS: Final = 1.1
"""The rim of an organ, where its voxels are partly fat, is one voxel thick, and a ball of this radius cuts it."""
CORE_SHARE: Final = 0.7
"""The core of a spot lies deeper than this share of its greatest depth."""
FAT_HU: Final = -20.0
FAT_SHARE: Final = 0.03
"""A spot with more than this share below -20 HU is partly fat, as the sinus of a kidney is."""
BESIDE_VOXELS: Final = 1.5
"""How far beside a spot fat is looked for: where a mask reaches into fat, the organ's edge is mixed with fat and looks
dark. Beside 12 spots of livers and spleens of phantoms at most 0.01 was fat; beside a false cyst in the liver of the
demo scan, 0.21."""
FLUID_HU: Final = 40.0
"""The edge of what is no denser than this is halfway between the tissue and water."""
MIN_ORGAN_ML: Final = 20.0
"""Of less of an organ the median is not its tissue's."""


def organ_spots(detection: Detection, key: str, organs: Organs) -> Looked:
    """Spots of one density in one organ, each grown to the middle of its edge.

    Args:
        detection: its ``limits`` are: ``min_hu``, ``max_hu`` of a spot's core; ``darker_hu``, by how much the core must
            be darker than the tissue; ``rim_mm``, depth of the organ's edge that is left out; ``min_mm``, diameter;
            ``max_elongation``, ``min_roundness``, ``max_attached`` of its shape; ``hole_ml``, from which volume on a
            hole of the mask may be a lesion that it leaves out; ``max_fat``, share of fat or air round a spot.
        key: of the organ.
        organs: masks.
    """
    kept = organs.need(key, min_confidence=detection.min_confidence)
    window = Window.round(organs.volume, [kept], SIGMA_MM)
    organ = window.paste(kept)
    if organ.sum() * window.voxel_ml < MIN_ORGAN_ML:
        raise Refused("Too little of the organ is seen.")
    spots = tuple(window.kept(spot) for spot in _spots(detection, organ, window))
    return Looked(
        spots=spots,
        unseen=f"smaller than {least_mm(detection, window):.0f} mm",
        doubt=_hole(detection, organ, window, organs),
    )


def _hole(detection: Detection, organ: Mask, window: Window, organs: Organs) -> str:
    """A sentence about holes of a mask with the density of the lesion; "" if no holes of this density are large."""
    limits, hu = detection.limits, window.smooth_hu(SIGMA_MM)
    if "hole_ml" not in limits:  # a kidney's mask has a hole at its sinus
        return ""
    hole = window.filled(organ) & ~organ & ~window.paste(organs.seen(detection.beside))
    hole_ml = float((hole & (hu >= limits["min_hu"]) & (hu <= limits["max_hu"])).sum() * window.voxel_ml)
    return (
        ""
        if hole_ml < limits["hole_ml"]
        else f"The organ's mask has holes of at least {hole_ml:.1f} mL that may be lesions."
    )


def _spots(detection: Detection, organ: Mask, window: Window) -> Iterator[Mask]:
    limits, hu = detection.limits, window.smooth_hu(SIGMA_MM)
    inner = window.shrunk(organ, max(limits["rim_mm"], 0.5 * max(window.spacing_mm)))
    if not inner.any():
        return
    tissue, noise = _tissue(hu[inner])
    if tissue - limits["darker_hu"] < limits["min_hu"]:
        return
    edge = tissue - max(0.5 * limits["darker_hu"], NOISE * noise)
    if limits["max_hu"] < FLUID_HU:
        edge = min(edge, (tissue + max(limits["min_hu"], 0.0)) / 2)
    dark = inner & (hu < edge) & (hu > limits["min_hu"] - 2 * limits["darker_hu"])
    for blob in blobs(dark, window.spacing_mm, max(2.5, OPEN_VOXELS * max(window.spacing_mm))):
        if not is_round(blob, detection, window):
            continue
        spot = blob.on(window)
        has_fat = float((hu[spot] < FAT_HU).mean()) > FAT_SHARE
        if has_fat or attached(spot, dark) > limits["max_attached"] or _is_beside_fat(spot, detection, hu, window):
            continue
        core_hu = float(np.median(hu[_core(spot, window)]))
        if limits["min_hu"] <= core_hu <= limits["max_hu"] and tissue - core_hu >= limits["darker_hu"]:
            half = hu < (tissue + core_hu) / 2
            yield window.grown(spot, max(window.spacing_mm)) & organ & half


def _is_beside_fat(spot: Mask, detection: Detection, hu: Float[np.ndarray, "x y z"], window: Window) -> bool:
    """Whether a spot may be dark because its organ's mask reaches into fat or air; a kidney's cysts lie beside fat."""
    if "max_fat" not in detection.limits:
        return False
    beside = window.grown(spot, BESIDE_VOXELS * max(window.spacing_mm)) & ~spot
    return float((hu[beside] < FAT_HU).mean()) > detection.limits["max_fat"]


def _tissue(hu: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Density of the organ's tissue, and its spread towards brighter voxels: darker ones may be lesions."""
    bright = hu[hu >= np.quantile(hu, DARKER_SHARE)]
    middle = float(np.median(bright))
    return middle, SIGMA_OF_MAD * float(np.median(hu[hu > middle] - middle)) if (hu > middle).any() else 0.0


def _core(spot: Mask, window: Window) -> Mask:
    """The inner part of a spot, which smoothing has not mixed with its surroundings."""
    depth_mm = ndimage.distance_transform_edt(spot, sampling=window.spacing_mm)
    return np.asarray(depth_mm >= CORE_SHARE * depth_mm.max())
