"""Lesions within organs: their kinds, their implantation, and the measurement of their size and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.ndimage import distance_transform_edt

from medvlsam2 import geometry
from medvlsam2.data.facts import Lesion
from medvlsam2.data.phantom.canvas import Canvas, VoxelBlock
from medvlsam2.data.phantom.scene import LABEL_VALUES, Scene
from medvlsam2.data.structures.table import Side

Mask = Bool[np.ndarray, "i j k"]
LesionMap = UInt8[np.ndarray, "i j k"]
_SPINE: Final = tuple(f"vertebrae_{v}" for v in ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8"))
_LUNGS: Final = ("lung_left", "lung_right")
_KIDNEYS: Final = ("kidney_left", "kidney_right")
_PAROTIDS: Final = ("parotid_gland_left", "parotid_gland_right")


@dataclass(frozen=True, kw_only=True)
class FocalKind:
    """A kind of lesion that lies within an organ."""

    kind: str
    structures: tuple[str, ...]
    diameter_mm: tuple[float | int, float | int]
    weight: float
    room: float = 0.95
    """Least distance of the lesion's centre from the organ's surface, as a share of the lesion's radius."""
    outgrowing: bool = False
    """Whether the lesion may grow out of its organ; all its voxels then get the organ's label."""
    lowest: bool = False
    """Whether the lesion sinks to the back of its organ, because the patient lies on the back (stones)."""
    ragged: float = 0.0
    """Depth of the notches of the lesion's surface, as a share of its radius."""


FOCAL_KINDS: Final = (
    FocalKind(kind="cyst", structures=("liver",), diameter_mm=(9, 60), weight=1.2),
    FocalKind(kind="metastasis", structures=("liver",), diameter_mm=(9, 50), weight=1.4, ragged=0.08),
    FocalKind(kind="nodule", structures=_LUNGS, diameter_mm=(6, 32), weight=1.5),
    FocalKind(kind="consolidation", structures=_LUNGS, diameter_mm=(30, 100), weight=0.6, room=0.3, ragged=0.12),
    FocalKind(kind="cyst", structures=_KIDNEYS, diameter_mm=(9, 55), weight=1.1, room=0.45, outgrowing=True),
    FocalKind(kind="stone", structures=_KIDNEYS, diameter_mm=(4, 13), weight=0.8),
    FocalKind(kind="stone", structures=("gallbladder",), diameter_mm=(5, 18), weight=0.7, lowest=True),
    FocalKind(kind="cyst", structures=("spleen",), diameter_mm=(9, 35), weight=0.5),
    FocalKind(kind="metastasis", structures=_SPINE, diameter_mm=(9, 26), weight=0.7, ragged=0.08),
    FocalKind(
        kind="metastasis", structures=("hip_left", "hip_right"), diameter_mm=(9, 35), weight=0.7, room=0.7, ragged=0.08
    ),
    FocalKind(
        kind="mass", structures=_PAROTIDS, diameter_mm=(10, 36), weight=1.6, room=0.45, outgrowing=True, ragged=0.08
    ),
    FocalKind(kind="mass", structures=("larynx",), diameter_mm=(9, 30), weight=1.3, room=0.4, ragged=0.12),
)
"""Kinds of lesions that are implanted after the organs were painted."""


@dataclass(frozen=True)
class Finding:
    """A lesion in the lesion map; size and HU are measured later, on the finished image."""

    kind: str
    structure: str
    label_value: int
    transverse: bool = False
    """Whether its size is measured across the body axis (vessels) instead of along its longest extent."""
    side: Side | None = None
    """Side of the patient, if the structure itself has no side."""


def mark_whole(canvas: Canvas, lesion_map: LesionMap, value: int, mask: Mask, min_voxels: int) -> bool:
    """Mark voxels as one lesion; return False and mark nothing if there are fewer than ``min_voxels``."""
    free = mask & (lesion_map == 0)
    if int(free.sum()) < min_voxels:
        return False
    lesion_map[free] = value
    return True


def measure(
    finding: Finding,
    box: VoxelBlock,
    lesion_map: LesionMap,
    hu: np.ndarray,
    affine: Float[np.ndarray, "4 4"],
) -> Lesion:
    """Return the facts of one lesion, measured on its voxels; all of them lie in ``box``."""
    at = np.argwhere(lesion_map[box] == finding.label_value) + np.array([side.start for side in box])
    mm = geometry.ijk_to_ras(at, affine)
    nearest = int(np.argmin(((mm - mm.mean(0)) ** 2).sum(1)))
    i, j, k = (int(v) for v in at[nearest])
    x, y, z = (float(v) for v in mm[nearest])
    side = finding.side
    if finding.structure.endswith(("_left", "_right")):
        side = "left" if finding.structure.endswith("_left") else "right"
    return Lesion(
        kind=finding.kind,
        structure=finding.structure,
        side=side,
        center_ijk=(i, j, k),
        center_ras=(x, y, z),
        diameter_mm=round(largest_diameter_mm(at, affine, transverse=finding.transverse), 1),
        mean_hu=round(float(hu[at[:, 0], at[:, 1], at[:, 2]].mean()), 1),
        label_value=finding.label_value,
    )


def largest_diameter_mm(at_ijk: np.ndarray, affine: Float[np.ndarray, "4 4"], *, transverse: bool = False) -> float:
    """Return the largest extent of a set of voxels in mm, with half a voxel added at both ends.

    The extent is measured along 400 directions that are spread evenly over a half sphere (a Fibonacci spiral).

    Args:
        at_ijk: voxel indices.
        affine: ``_ijk`` to ``_ras`` mm.
        transverse: measure only directions across the body axis, in slabs of at least 4 mm; the widest slab counts.
    """
    steps = np.arange(400) + 0.5
    up = np.zeros(400) if transverse else 1.0 - steps / 400.0
    around = np.pi * (1.0 + 5.0**0.5) * steps
    flat = np.sqrt(1.0 - up**2)
    directions = np.stack([flat * np.cos(around), flat * np.sin(around), up])
    voxel = np.linalg.norm(affine[:3, :3].T @ directions, axis=0)
    if not transverse:
        ends = geometry.ijk_to_ras(_line_ends(at_ijk), affine)
        return float((np.ptp(ends @ directions, axis=0) + voxel).max())
    mm = geometry.ijk_to_ras(at_ijk, affine)
    slab_mm = max(4.0, 1.01 * float(np.abs(affine[2, :3]).max()))
    slabs = np.floor((mm[:, 2] - mm[:, 2].min()) / slab_mm).astype(int)
    return max(float((np.ptp(mm[slabs == s] @ directions, axis=0) + voxel).max()) for s in np.unique(slabs))


def _line_ends(at_ijk: np.ndarray) -> np.ndarray:
    """Return the first and the last voxel of every line along k; only these can be outermost in a direction."""
    ordered = at_ijk[np.lexsort((at_ijk[:, 2], at_ijk[:, 1], at_ijk[:, 0]))]
    changes = (np.diff(ordered[:, :2], axis=0) != 0).any(axis=1)
    first = np.concatenate([[True], changes])
    last = np.concatenate([changes, [True]])
    return np.asarray(ordered[first | last])


def implant(scene: Scene, kind: FocalKind, structure: str, lesion_map: LesionMap, value: int) -> bool:
    """Implant one lesion; return False and change nothing if there is no room for it.

    Args:
        scene: the painted anatomy; its HU change, and its labels too for outgrowing lesions.
        kind: kind of the lesion.
        structure: key of the organ.
        lesion_map: map that gets ``value`` at the lesion's voxels.
        value: value of the new lesion.
    """
    canvas, rng = scene.canvas, scene.rng
    organ = LABEL_VALUES[structure]
    spacing = np.asarray(geometry.spacing_mm(canvas.affine))
    low, high = np.log(kind.diameter_mm)
    radius = 0.5 * max(float(np.exp(rng.uniform(low, high))), 1.6 * float(np.sort(spacing)[1]))
    place = _choose_center(scene, organ, lesion_map, kind, radius)
    if place is None:
        return False
    center, radius = place
    radii = radius * np.array([1.0, rng.uniform(0.78, 1.0), rng.uniform(0.78, 1.0)])
    block, distance = _lesion_distance(canvas, center, rng.permutation(radii))
    if kind.ragged:
        notches = np.float32(0.4) * canvas.grain[block] + canvas.bumps[block]
        distance = distance + np.float32(kind.ragged * radius) * notches
    labels = canvas.label_map[block]
    allowed = labels == organ
    if kind.outgrowing:
        allowed |= (labels == 0) & (canvas.hu[block] < 0.0) & (scene.hull.skin[block] < -2.0)
    allowed &= lesion_map[block] == 0
    mask = (distance <= 0.0) & allowed
    if int(mask.sum()) < 3:
        return False
    hu = _lesion_hu(scene, kind.kind, structure)
    texture = np.float32(1.5 if kind.kind in ("cyst", "stone") else 7.0)
    cover = np.clip(np.float32(0.5) - distance / canvas.softness_mm, 0.0, 1.0) * allowed
    if kind.kind == "consolidation":
        cover *= np.clip(np.float32(2.6) - np.float32(2.0) * canvas.grain[block], 0.25, 1.0)
    canvas.hu[block] += cover * (np.float32(hu) + texture * canvas.grain[block] - canvas.hu[block])
    labels[mask] = organ
    lesion_map[block][mask] = value
    return True


def _choose_center(
    scene: Scene,
    organ: int,
    lesion_map: LesionMap,
    kind: FocalKind,
    radius: float,
) -> tuple[np.ndarray, float] | None:
    """Return a random voxel with enough room around it, and a radius that fits there; None if there is no room."""
    canvas, rng = scene.canvas, scene.rng
    free = (canvas.label_map == organ) & (lesion_map == 0)
    if not free.any():
        return None
    spans = [np.flatnonzero(free.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    start = np.array([s[0] for s in spans])
    crop = free[tuple(slice(int(s[0]), int(s[-1]) + 1) for s in spans)]
    crop = np.pad(crop, 1)
    room: Float32[np.ndarray, "i j k"] = distance_transform_edt(
        crop, sampling=geometry.spacing_mm(canvas.affine)
    ).astype(np.float32)
    need = kind.room * radius
    widest = float(room.max())
    if widest < need:
        radius *= 0.98 * widest / need
        need = 0.98 * widest
    if 2.0 * radius < 0.7 * kind.diameter_mm[0]:
        return None
    fitting = np.argwhere(room >= need) - 1 + start
    if kind.lowest:
        heights = canvas.y[tuple(fitting.T)]
        fitting = fitting[heights <= np.quantile(heights, 0.15)]
    return fitting[int(rng.integers(len(fitting)))], radius


def _lesion_distance(
    canvas: Canvas, center: np.ndarray, radii: np.ndarray
) -> tuple[VoxelBlock, Float32[np.ndarray, "i j k"]]:
    linear = canvas.affine[:3, :3]
    reach = np.ceil((radii.max() * 1.3 + 3.0) / np.linalg.norm(linear, axis=0)).astype(int)
    starts = np.maximum(center - reach, 0)
    stops = np.minimum(center + reach + 1, canvas.shape_ijk)
    block = tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in block), indexing="ij"))
    mm = np.tensordot(linear, index - center[:, None, None, None], 1) / radii[:, None, None, None]
    level = np.sqrt((mm**2).sum(0))
    slope = np.sqrt(((mm / radii[:, None, None, None]) ** 2).sum(0)) + 1e-9
    distance = np.where(level > 0.05, level * (level - 1.0) / slope, -radii.min()).astype(np.float32)
    return (block[0], block[1], block[2]), distance


def _lesion_hu(scene: Scene, kind: str, structure: str) -> float:
    rng, hu = scene.rng, scene.tissues.hu
    if kind == "cyst":
        return float(rng.normal(6.0, 4.0))
    if kind in ("nodule", "consolidation"):
        return float(rng.uniform(15.0, 70.0))
    if kind == "mass":
        return hu["tumor"] + float(rng.uniform(-8.0, 30.0))
    if kind == "stone":
        return float(rng.uniform(450, 1200) if structure.startswith("kidney") else rng.uniform(90, 380))
    if structure.startswith(("vertebrae", "hip")):
        return float(rng.uniform(20.0, 60.0) if rng.random() < 0.5 else rng.uniform(480.0, 850.0))
    contrast = rng.uniform(14.0, 45.0)
    bright = hu["artery"] > 220.0 and rng.random() < 0.5
    return hu["liver"] + contrast if bright else hu["liver"] - contrast
