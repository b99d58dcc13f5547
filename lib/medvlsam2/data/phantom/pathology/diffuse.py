"""Findings that are not round lesions (fluid, air, vessel wall, muscle). Each function marks the finding's voxels."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from medvlsam2.data.phantom.anatomy.thorax import heart
from medvlsam2.data.phantom.anatomy.vessels import aorta
from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, Tissue, VoxelBlock
from medvlsam2.data.phantom.pathology.lesions import (
    Finding,
    LesionMap,
    Mask,
    mark_whole,
)
from medvlsam2.data.phantom.scene import LABEL_VALUES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Tube, Union
from medvlsam2.data.structures.table import Side

_MUSCLES: Final = tuple(
    LABEL_VALUES[f"{name}_{side}"]
    for name in ("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthon")
    for side in ("left", "right")
)
_MIN_VOXELS: Final = 30


def pour_effusion(scene: Scene, side: Side, lesion_map: LesionMap, value: int) -> Finding | None:
    """Fill the lowest part of one pleural space with fluid."""
    canvas = scene.canvas
    lung = _lung(scene, side)
    if lung is None:
        return None
    height = canvas.y + np.float32(0.3) * canvas.z + np.float32(1.5) * canvas.bumps
    fluid = lung & (height < np.quantile(height[lung], scene.rng.uniform(0.06, 0.35)))
    if not mark_whole(canvas, lesion_map, value, fluid, _MIN_VOXELS):
        return None
    fluid = lesion_map == value
    canvas.hu[fluid] = np.float32(scene.rng.uniform(2.0, 18.0)) + np.float32(3.0) * canvas.grain[fluid]
    return Finding("effusion", f"lung_{side}", value)


def let_in_air(scene: Scene, side: Side, lesion_map: LesionMap, value: int) -> Finding | None:
    """Paint a pneumothorax: air in the highest part of one pleural space, and a denser lung below it."""
    canvas, rng = scene.canvas, scene.rng
    lung = _lung(scene, side)
    if lung is None:
        return None
    height = canvas.y + np.float32(0.35) * canvas.z + np.float32(1.5) * canvas.bumps
    level = np.quantile(height[lung], 1.0 - rng.uniform(0.08, 0.4))
    if not mark_whole(canvas, lesion_map, value, lung & (height > level), _MIN_VOXELS):
        return None
    air = lesion_map == value
    canvas.hu[lung & ~air & (canvas.hu < -300.0)] += np.float32(rng.uniform(30.0, 120.0))
    rim = lung & ~air & (height > level - np.float32(max(1.5, 0.8 * float(canvas.softness_mm))))
    canvas.hu[rim] = np.maximum(canvas.hu[rim], np.float32(-450.0))
    canvas.hu[air] = np.float32(scene.tissues.hu["air"])
    return Finding("pneumothorax", f"lung_{side}", value)


def calcify_coronary(scene: Scene, lesion_map: LesionMap, value: int) -> Finding | None:
    """Paint a calcified part of one coronary artery on the surface of the heart."""
    canvas, rng = scene.canvas, scene.rng
    courses = (
        ((0.05, 0.75, 0.65), (-0.35, 0.9, 0.1), (-0.7, 0.7, -0.45)),
        ((0.65, 0.6, 0.45), (0.9, 0.4, -0.1), (0.6, 0.2, -0.75)),
        ((-0.25, 0.35, 0.9), (-0.75, 0.0, 0.65), (-0.95, -0.25, 0.1)),
    )
    muscle = heart(scene)
    course = np.array(courses[int(rng.integers(len(courses)))])
    at = rng.uniform(0.0, 1.3) + np.linspace(0.0, rng.uniform(0.2, 0.7), 5)
    ways = np.stack([np.interp(at, (0, 1, 2), course[:, axis]) for axis in range(3)], 1)
    points = [muscle.surface_point(way) for way in ways]
    radius = max(float(rng.uniform(1.2, 2.6)), 0.55 * float(canvas.softness_mm))
    line = Tube(points, [radius] * 5, samples=8)
    block = canvas.block(line.lo, line.hi)
    if block is None:
        return None
    distance = line.distance(canvas, block)
    allowed = np.isin(canvas.label_map[block], (0, LABEL_VALUES["heart"])) & (lesion_map[block] == 0)
    mask = (distance <= 0.0) & allowed
    if int(mask.sum()) < 3 or not (canvas.label_map[block] == LABEL_VALUES["heart"]).any():
        return None
    canvas.paint_field(block, distance, float(rng.uniform(450.0, 1100.0)), allowed=allowed)
    lesion_map[block][mask] = value
    return Finding("calcification", "coronary_arteries", value)


def dissect(scene: Scene, lesion_map: LesionMap, value: int) -> Finding | None:
    """Divide the aorta by a flap that winds along the vessel, and mark the false lumen.

    The flap is a plane through the vessel whose angle changes along the centre line. Voxels on one side of the flap are
    the false lumen.
    """
    canvas, rng = scene.canvas, scene.rng
    if scene.tissues.hu["artery"] < 90.0 or scene.organ_findings.aneurysm is not None:
        return None
    at = np.argwhere((canvas.label_map == LABEL_VALUES["aorta"]) & (lesion_map == 0))
    if len(at) < 10 * _MIN_VOXELS:
        return None
    where = tuple(at.T)
    mm = np.stack([canvas.x[where], canvas.y[where], canvas.z[where]], 1)
    line = aorta(scene)
    count = len(line.points)
    _, nearest = cKDTree(line.points).query(mm)
    start = int(rng.integers(0, count // 3))
    stretch = (nearest >= start) & (nearest <= start + int(rng.integers(count // 3, count)))
    angle_rad = rng.uniform(0.0, 2.0 * np.pi) + np.linspace(0.0, rng.uniform(-3.0, 3.0), count)
    away = mm - line.points[nearest]
    offset = away[:, 0] * np.cos(angle_rad[nearest]) + away[:, 1] * np.sin(angle_rad[nearest])
    false_lumen = stretch & (offset > rng.uniform(-0.15, 0.3) * line.radii[nearest])
    if int(false_lumen.sum()) < _MIN_VOXELS:
        return None
    flap = stretch & (np.abs(offset - offset[false_lumen].min()) < max(1.0, 0.55 * float(canvas.softness_mm)))
    part = tuple(at[false_lumen].T)
    canvas.hu[part] -= np.float32(rng.uniform(0.15, 0.6) * (scene.tissues.hu["artery"] - 45.0))
    canvas.hu[tuple(at[flap].T)] = np.float32(45.0)
    lesion_map[part] = value
    return Finding("dissection", "aorta", value)


def dilate_pelvis(scene: Scene, side: Side, lesion_map: LesionMap, value: int) -> Finding | None:
    """Paint a hydronephrosis: a wide renal pelvis with wide calyces."""
    canvas, rng = scene.canvas, scene.rng
    key = f"kidney_{side}"
    kidney = canvas.label_map == LABEL_VALUES[key]
    if int(kidney.sum()) < 10 * _MIN_VOXELS:
        return None
    x, y, z = (float(axis[kidney].mean()) for axis in (canvas.x, canvas.y, canvas.z))
    tall = 0.5 * float(np.ptp(canvas.z[kidney]))
    inward = -np.sign(x)
    wide = rng.uniform(1.0, 1.7)
    pelvis = Ellipsoid((x + inward * 13, y + 5, z), wide * np.array([10, 9, 15]))
    parts: list[Shape] = [pelvis]
    for share in (-0.62, -0.25, 0.25, 0.62):
        calyx = (x - inward * rng.uniform(2, 7), y + rng.normal(0, 4), z + share * tall)
        parts.append(Ellipsoid(calyx, wide * rng.uniform(5.5, 8.0) * np.ones(3)))
        parts.append(Tube([pelvis.center, calyx], (4 * wide, 3.5 * wide), samples=2))
    system = Union(*parts, blend_mm=4.0)
    block = canvas.block(system.lo, system.hi)
    if block is None:
        return None
    distance = system.distance(canvas, block)
    labels = canvas.label_map[block]
    allowed = ((labels == LABEL_VALUES[key]) | (labels == 0)) & (lesion_map[block] == 0)
    mask = (distance <= 0.0) & allowed
    if int(mask.sum()) < _MIN_VOXELS:
        return None
    canvas.paint_field(block, distance, float(rng.uniform(2.0, 14.0)), LABEL_VALUES[key], allowed)
    labels[mask] = LABEL_VALUES[key]
    lesion_map[block][mask] = value
    return Finding("hydronephrosis", key, value)


def fill_ascites(scene: Scene, lesion_map: LesionMap, value: int) -> Finding | None:
    """Paint ascites: fluid replaces fat along the wall of the abdomen."""
    canvas, depth_mm = scene.canvas, scene.organ_findings.ascites_mm
    if depth_mm is None:
        return None
    below = (scene.hull.domes < -0.5) | (canvas.z < 120.0)
    wall = scene.hull.inner + np.float32(3.0) * canvas.bumps
    free = (canvas.label_map == 0) & (canvas.hu < -40.0) & (scene.hull.inner < -0.5) & below
    near = (wall > np.float32(-depth_mm)) | (canvas.z < np.float32(-30.0 + depth_mm))
    fluid = free & near & (canvas.y > np.float32(-8.0)) & (canvas.z > -115.0)
    fluid |= free & (scene.hull.domes > np.float32(-depth_mm)) & (canvas.z > 120.0)
    if not mark_whole(canvas, lesion_map, value, fluid, _MIN_VOXELS):
        return None
    fluid = lesion_map == value
    canvas.hu[fluid] = np.float32(scene.rng.uniform(2.0, 16.0)) + np.float32(3.0) * canvas.grain[fluid]
    return Finding("ascites", "body", value)


def grow_sarcoma(scene: Scene, lesion_map: LesionMap, value: int) -> Finding | None:
    """Paint a large tumour with a necrotic core in the muscles of thigh, buttock or shoulder."""
    canvas, rng, hull = scene.canvas, scene.rng, scene.hull
    thin = (slice(None, None, 3),) * 3
    x, z, depth = np.abs(canvas.x[thin]), canvas.z[thin], hull.outer[thin]
    flesh = np.isin(canvas.label_map[thin], (0, *_MUSCLES)) & (canvas.hu[thin] > 20.0) & (canvas.hu[thin] < 110.0)
    place = ((z < 10.0) & (x > 55.0)) | ((z > 320.0) & (x > 105.0))
    spots = np.argwhere(flesh & place & (depth < -12.0) & (hull.inner[thin] > 10.0)) * 3
    if len(spots) < 5:
        return None
    spot = tuple(int(v) for v in spots[int(rng.integers(len(spots)))])
    center = np.array([canvas.x[spot], canvas.y[spot], canvas.z[spot]])
    radii = min(float(rng.uniform(14.0, 55.0)), 1.6 * -float(hull.outer[spot])) * rng.uniform(0.75, 1.3, 3)
    ball = Ellipsoid(center, radii, rng.uniform(-40.0, 40.0, 3), 2.0)
    block = canvas.block(ball.lo, ball.hi)
    if block is None:
        return None
    distance = ball.distance(canvas, block)
    allowed = np.isin(canvas.label_map[block], (0, *_MUSCLES)) & (hull.outer[block] < -2.0)
    allowed &= (canvas.hu[block] < 150.0) & (canvas.hu[block] > -200.0) & (lesion_map[block] == 0)
    mask = (distance <= 0.0) & allowed
    if int(mask.sum()) < _MIN_VOXELS:
        return None
    canvas.paint_field(block, distance, _tumour_hu(scene, float(radii.min())), allowed=allowed)
    lesion_map[block][mask] = value
    return Finding("sarcoma", "skeletal_muscle", value, side="right" if center[0] > 0 else "left")


def _tumour_hu(scene: Scene, radius_mm: float) -> Tissue:
    rim = np.float32(scene.tissues.hu["muscle"] + scene.rng.uniform(-30.0, 25.0))
    core = np.float32(scene.rng.uniform(5.0, 30.0))

    def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
        share = np.float32(1.6 / radius_mm) * -distance + np.float32(0.3) * canvas.bumps[block]
        share = np.clip(share - np.float32(0.5), 0.0, 1.0)
        return rim + np.float32(7.0) * canvas.grain[block] + share * (core - rim)

    return paint


def _lung(scene: Scene, side: Side) -> Mask | None:
    lung: Mask = scene.canvas.label_map == LABEL_VALUES[f"lung_{side}"]
    return lung if int(lung.sum()) >= 400 else None
