"""Nodules, consolidations and pleural fluid: what is as dense as soft tissue or water within the closed lung.

The closed lung is the lung's mask with its dents and holes filled, since the mask of a lung often leaves out what is
dense. Organs that are seen beside the lung are no part of the closed lung.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from medvlsam2.tasks.measure.candidates.blobs import attached, blobs, is_round, least_mm
from medvlsam2.tasks.measure.candidates.detection import Detection, Looked, Organs, Refused
from medvlsam2.tasks.measure.candidates.window import Mask, Window, worlds

CLOSE_MM: Final = 6.0
"""Half of the width of the dents that are filled: a nodule of 12 mm at the pleura lies within the closed lung."""
DENSE_HU: Final = -350.0
"""Between aerated lung (about -850 HU) and soft tissue (about 50 HU): the middle of a nodule's edge."""
SIGMA_MM: Final = 1.0
"""Smoothing against noise; a nodule of 6 mm stays brighter than the threshold."""
AIR_HU: Final = -500.0
"""Below this the surroundings of a nodule are aerated lung."""
MIN_LUNG_ML: Final = 80.0
"""Of less of a lung nothing is said."""
LARGE_MM: Final = 5.0
"""Radius of the ball that a consolidation or an effusion holds: vessels are narrower, except at the hilum."""


def lung_nodules(detection: Detection, key: str, organs: Organs) -> Looked:
    """Compact dense spots with lung round them that do not go on as a vessel does.

    Args:
        detection: its ``limits`` are ``min_mm`` and ``max_mm``, diameters; ``max_elongation``, ``min_roundness``,
            ``max_attached`` of the shape; ``min_air`` and ``max_outside``, shares of the neighbours that are aerated
            lung, and that lie outside the closed lung.
        key: of the lung.
        organs: masks.
    """
    window, space = closed_lung(detection, key, organs)
    dense = space & (window.smooth_hu(SIGMA_MM) > DENSE_HU)
    found = []
    for blob in blobs(dense, window.spacing_mm, max(2.5, 0.75 * max(window.spacing_mm))):
        if not is_round(blob, detection, window) or blob.axes_mm[0] > detection.limits["max_mm"]:
            continue
        spot = blob.on(window)
        if attached(spot, dense) <= detection.limits["max_attached"] and _has_lung_round(
            spot, space, window, detection
        ):
            found.append(window.kept(spot | (dense & window.grown(spot, max(window.spacing_mm)))))
    least = f"smaller than {least_mm(detection, window):.0f} mm"
    return Looked(spots=tuple(found), unseen=f"{least} or grown together with the mediastinum")


def consolidation(detection: Detection, key: str, organs: Organs) -> Looked:
    """Large dense parts of a lung that are neither round as a nodule nor even as fluid.

    Args:
        detection: its ``limits`` are ``min_ml``; ``min_hu`` and ``max_hu`` of the part's mean; ``min_sd_hu``, the least
            spread, since air remains in a consolidation.
        key: of the lung.
        organs: masks.
    """
    window, space = closed_lung(detection, key, organs)
    hu, limits = window.smooth_hu(SIGMA_MM), detection.limits
    parts = []
    for part in _large(space & (hu > DENSE_HU), window):
        spread = float(hu[part].std())
        is_dense = limits["min_hu"] <= float(hu[part].mean()) <= limits["max_hu"]
        if part.sum() * window.voxel_ml >= limits["min_ml"] and spread >= limits["min_sd_hu"] and is_dense:
            parts.append(part)
    return _one(parts, window, limits["min_ml"])


def pleural_fluid(detection: Detection, key: str, organs: Organs) -> Looked:
    """Even fluid in the lower part of the closed lung, at its outer surface.

    Args:
        detection: its ``limits`` are ``min_ml``; ``min_hu`` and ``max_hu`` of the fluid's median; ``max_sd_hu``, the
            largest spread; ``min_outside``, share of the neighbours that lie outside the closed lung.
        key: of the lung.
        organs: masks.
    """
    window, space = closed_lung(detection, key, organs)
    hu, limits = window.smooth_hu(SIGMA_MM), detection.limits
    parts = []
    for part in _large(space & (hu > DENSE_HU), window):
        core = window.shrunk(part, max(window.spacing_mm))
        if part.sum() * window.voxel_ml < limits["min_ml"] or not core.any():
            continue
        is_fluid = limits["min_hu"] <= float(np.median(hu[core])) <= limits["max_hu"]
        is_even = float(hu[core].std()) <= limits["max_sd_hu"]
        if is_fluid and is_even and outside(part, space) >= limits["min_outside"] and _is_low(part, space, window):
            parts.append(part)
    return _one(parts, window, limits["min_ml"])


def closed_lung(detection: Detection, key: str, organs: Organs) -> tuple[Window, Mask]:
    """The closed lung in a box round it.

    Raises:
        Refused: if too little of the lung is seen.
    """
    kept = organs.need(key, min_confidence=detection.min_confidence)
    window = Window.round(organs.volume, [kept], 2 * CLOSE_MM)
    lung = window.paste(kept)
    if lung.sum() * window.voxel_ml < MIN_LUNG_ML:
        raise Refused("Too little of the lung is seen.")
    return window, window.closed(lung, CLOSE_MM) & (lung | ~window.paste(organs.seen(detection.beside)))


def outside(part: Mask, space: Mask) -> float:
    """Share of a part's neighbours that lie outside a space."""
    return attached(part, ~space)


def _has_lung_round(spot: Mask, space: Mask, window: Window, detection: Detection) -> bool:
    shell = window.grown(spot, 2 * max(window.spacing_mm)) & ~window.grown(spot, max(window.spacing_mm))
    air = float((window.hu()[shell] < AIR_HU).mean()) if shell.any() else 0.0
    return air >= detection.limits["min_air"] and outside(spot, space) <= detection.limits["max_outside"]


def _large(dense: Mask, window: Window) -> Iterator[Mask]:
    """The large parts of what is dense."""
    for blob in blobs(dense, window.spacing_mm, max(LARGE_MM, 1.5 * max(window.spacing_mm))):
        yield blob.on(window)


def _is_low(part: Mask, space: Mask, window: Window) -> bool:
    """Whether a part lies in the half of the lung that is nearer to the back, where fluid sinks to."""
    _, (axis, sign), _ = worlds(window)
    others = tuple(other for other in range(3) if other != axis)
    middles = [float(np.average(np.arange(window.shape[axis]), weights=one.sum(axis=others))) for one in (part, space)]
    return sign * (middles[0] - middles[1]) < 0


def _one(parts: list[Mask], window: Window, min_ml: float) -> Looked:
    """All parts as one finding."""
    if not parts:
        return Looked(unseen=f"smaller than {min_ml:.0f} mL")
    return Looked(spots=(window.kept(np.logical_or.reduce(parts)),), unseen=f"smaller than {min_ml:.0f} mL")
