"""Compact parts of a mask, told from vessels, which are long and go on beyond any part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from medvlsam2.tasks.measure.candidates.detection import Detection
from medvlsam2.tasks.measure.candidates.window import Mask, Place, Window
from medvlsam2.tasks.measure.masks.mask_measures import TOUCHING

RESOLVED: Final = 1.15
"""The ball in a spot has a radius of so many voxels at least along the coarsest axis: of fewer no shape is known.
Found on phantoms: with 1.0, pieces of vessels of 5 mm slices are told as nodules."""


@dataclass(frozen=True)
class Blob:
    """A part of a mask that remains after its narrow branches were cut.

    Args:
        place: box of the window that holds it.
        mask: its voxels in the box.
        inner_mm: radius of the largest ball that fits into it.
        axes_mm: lengths of its principal axes (of the ellipsoid with the same second moments), the longest first.
        ml: volume.
    """

    place: Place
    mask: Bool[np.ndarray, "a b c"]
    inner_mm: float
    axes_mm: tuple[float, float, float]
    ml: float

    @property
    def elongation(self) -> float:
        """Longest over shortest axis; 1 for a ball."""
        return self.axes_mm[0] / self.axes_mm[2]

    @property
    def roundness(self) -> float:
        """Twice the radius of the ball that fits into it over its longest axis; 1 for a ball."""
        return 2 * self.inner_mm / self.axes_mm[0]

    def on(self, window: Window) -> Mask:
        """Its mask in the whole window."""
        spot = np.zeros(window.shape, dtype=bool)
        spot[self.place] = self.mask
        return spot


def blobs(mask: Mask, spacing_mm: tuple[float, float, float], open_mm: float) -> Iterator[Blob]:
    """The parts of a mask that hold a ball, each with what lies near to such balls.

    Args:
        mask: of everything that may be a lesion.
        spacing_mm: size of a voxel.
        open_mm: radius of the ball; narrower branches are cut.
    """
    depth_mm = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    cores, count = ndimage.label(depth_mm >= open_mm, TOUCHING)
    if not count:
        return
    away_mm, nearest = ndimage.distance_transform_edt(cores == 0, sampling=spacing_mm, return_indices=True)
    labels = np.where(mask & (away_mm <= open_mm), cores[tuple(nearest)], 0)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[place] == number
        yield Blob(
            place=place,
            mask=part,
            inner_mm=float(depth_mm[place][part].max()),
            axes_mm=_axes(part, spacing_mm),
            ml=float(part.sum() * np.prod(spacing_mm) / 1000),
        )


def _axes(mask: Bool[np.ndarray, "a b c"], spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Lengths of the principal axes; each is that of a voxel at least."""
    at_mm = np.argwhere(mask) * np.array(spacing_mm)
    at_mm -= at_mm.mean(axis=0)
    # A voxel is a box, whose own second moments are a twelfth of its squared sides.
    moments = at_mm.T @ at_mm / len(at_mm) + np.diag(np.square(spacing_mm)) / 12
    short, middle, long = (2 * np.sqrt(5 * np.linalg.eigvalsh(moments))).tolist()
    return long, middle, short


def least_mm(detection: Detection, window: Window) -> float:
    """Diameter of the smallest spot whose shape a scan of these voxels shows."""
    return max(detection.limits["min_mm"], 2 * RESOLVED * max(window.spacing_mm))


def is_round(blob: Blob, detection: Detection, window: Window) -> bool:
    """Whether a blob is as large and as round as a detection wants it."""
    limits = detection.limits
    return (
        2 * blob.inner_mm >= least_mm(detection, window)
        and blob.elongation <= limits["max_elongation"]
        and blob.roundness >= limits["min_roundness"]
    )


def attached(spot: Mask, alike: Mask) -> float:
    """Share of a spot's neighbours that look as it does: a vessel goes on, a lesion does not."""
    shell = ndimage.binary_dilation(spot, TOUCHING) & ~spot
    return float(alike[shell].mean()) if shell.any() else 0.0
