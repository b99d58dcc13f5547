"""Lungs with their vessels, heart, great vessels of the chest, trachea and esophagus."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.anatomy.trunk import recess_distance
from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, VoxelBlock
from medvlsam2.data.phantom.hull import Hull
from medvlsam2.data.phantom.scene import LABEL_VALUES, SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Tube, Union

_HEART_MM = np.array([-24.0, 46.0, 272.0])
_HEART_TURN = (24.0, 38.0, 0.0)


def heart(scene: Scene, grown_mm: float = 0.0) -> Ellipsoid:
    """Return the heart as one ellipsoid; an enlarged heart grows to the left and downwards."""
    size = scene.organ_findings.heart or 1.0
    center = _HEART_MM + (size - 1.0) * np.array([-26.0, 4.0, -14.0])
    return Ellipsoid(center, size * np.array([54.0, 44.0, 60.0]) + grown_mm, _HEART_TURN, 1.5)


class Lung:
    """The space between chest wall, diaphragm and mediastinum on one side.

    Args:
        hull: chest wall and diaphragm.
        mediastinum: shape of the space between the lungs.
        sign: +1 right, -1 left.
    """

    def __init__(self, hull: Hull, mediastinum: Shape, sign: float) -> None:
        self.hull = hull
        self.mediastinum = mediastinum
        self.sign = np.float32(sign)
        near, far = sorted((4.0 * sign, 150.0 * sign))
        self.lo, self.hi = np.array([near, -110.0, 120.0]), np.array([far, 125.0, 445.0])

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        total = self.hull.inner[block] + np.float32(0.5)
        total = np.maximum(total, np.float32(2.0) - self.hull.domes[block])
        total = np.maximum(total, recess_distance(canvas, block))
        total = np.maximum(total, canvas.z[block] - np.float32(428.0))
        total = np.maximum(total, np.float32(5.0) - self.sign * canvas.x[block])
        return np.asarray(np.maximum(total, -self.mediastinum.distance(canvas, block)))


def paint_lungs(scene: Scene) -> None:
    """Paint both lungs, then their vessels."""
    mediastinum = _mediastinum(scene)
    for sign, side in SIDES:
        key = f"lung_{side}"
        scene.paint(key, Lung(scene.hull, mediastinum, sign), scene.tissues.lung())
        for vessel in _vessels(scene.rng, sign):
            scene.canvas.paint(vessel, scene.tissues.hu["vein"] * 0.8, within_label=LABEL_VALUES[key])


def paint_mediastinum(scene: Scene) -> None:
    """Paint heart with its chambers, pulmonary trunk, superior vena cava, airway and esophagus."""
    tissues = scene.tissues
    muscle = heart(scene)
    scene.paint("heart", muscle, tissues.solid("myocardium"))
    chambers = (
        ("artery", (-45, 50, 256), (21, 19, 34), (20, 35, 0)),
        ("right_heart", (-10, 72, 262), (33, 15, 30), (0, 15, 0)),
        ("right_heart", (18, 44, 286), (19, 22, 26), (0, 0, 0)),
        ("artery", (-12, 18, 300), (26, 16, 19), (0, 0, 0)),
    )
    for name, center, radii, rotation_degrees in chambers:
        size = scene.organ_findings.heart or 1.0
        place = muscle.center + size * (scene.jitter(center, 1.5) - _HEART_MM)
        chamber = Ellipsoid(place, size * np.asarray(scene.vary(radii, 0.05)), rotation_degrees)
        scene.paint("heart", chamber, tissues.solid(name))
    trunk = Tube([(-18, 66, 305), (-20, 48, 332), (-14, 28, 338)], (13, 13, 12), samples=8)
    scene.paint("pulmonary_artery", trunk, tissues.solid("right_heart"))
    for sign, _ in SIDES:
        branch = Tube([(-14, 28, 338), (sign * 22, 18, 334), (sign * 46, 6, 322)], (11, 10, 7), samples=8)
        scene.paint("pulmonary_artery", branch, tissues.solid("right_heart"))
    cava = Tube([(30, 26, 395), (30, 30, 350), (24, 40, 306)], (7, 9, 10), samples=8)
    scene.paint("superior_vena_cava", cava, tissues.solid("right_heart"))
    _paint_airway(scene)
    gullet = Tube(
        [(x, scene.spine_y(z) + ahead, z) for x, ahead, z in
         ((-1, 14, 476), (-3, 20, 440), (-3, 25, 370), (-6, 28, 300), (-15, 34, 245), (-28, 40, 218), (-42, 44, 208))],
        scene.vary((7.0, 7.0, 7.0, 8.0, 8.0, 9.0, 9.0)),
    )  # fmt: skip
    scene.paint("esophagus", gullet, tissues.solid("gut_wall", 5.0))


def _paint_airway(scene: Scene) -> None:
    radius = scene.vary((8.5,), 0.1)[0]
    windpipe = Tube([(0, 21, 468), (1, 10, 420), (3, 0, 356)], (radius, radius, radius), samples=10)
    tissue = scene.tissues.layered("airway_wall", "air", 1.0, texture_hu=2.0)
    scene.paint("trachea", windpipe, tissue)
    for sign, _ in SIDES:
        bronchus = Tube([(3, 0, 356), (sign * 24, -6, 338), (sign * 44, -8, 322)], (7.5, 6.5, 4.5), samples=8)
        scene.canvas.paint(bronchus, tissue)


def _mediastinum(scene: Scene) -> Union:
    spine = [(0.0, scene.spine_y(z) + 2.0, float(z)) for z in (120, 180, 240, 300, 360, 440)]
    behind = [(0.0, y - 44.0, z) for _, y, z in spine]
    upper = Ellipsoid((0, 22, 368), scene.vary((37, 52, 62)))
    front = Ellipsoid((-4, 84, 300), scene.vary((17, 30, 110)))
    vessels = [(-24.0, scene.spine_y(z) + 20.0, float(z)) for z in (160, 230, 300, 350)]
    return Union(
        heart(scene, 4.0),
        Tube(spine, (23, 22, 21, 21, 21, 20), samples=12, reach_mm=12.0),
        Tube(vessels, (17, 17, 17, 17), samples=8, reach_mm=12.0),
        Tube(behind, (30, 30, 29, 28, 28, 28), samples=12, reach_mm=12.0),
        Ellipsoid((4, 30, 325), (34, 44, 40)),
        Ellipsoid((0, 10, 220), (34, 50, 40)),
        upper,
        front,
        blend_mm=10.0,
    )


def _vessels(rng: np.random.Generator, sign: float) -> list[Tube]:
    start = np.array([sign * 42.0, 4.0, 322.0])
    tips = np.array([sign * 95.0, 0.0, 290.0])
    tubes = []
    for _ in range(15):
        tip = tips + rng.normal(0.0, 1.0, 3) * np.array([24.0, 50.0, 66.0])
        middle = 0.5 * (start + tip) + rng.normal(0.0, 9.0, 3)
        radius = rng.uniform(3.0, 5.2)
        tubes.append(Tube([start, middle, tip], (radius, 0.6 * radius, 1.1), samples=7))
        for _ in range(4):
            share = rng.uniform(0.3, 0.8)
            branch = start + share * (tip - start) if share > 0.55 else middle
            end = branch + rng.normal(0.0, 1.0, 3) * np.array([18.0, 26.0, 26.0]) + sign * np.array([14, 0, 0])
            tubes.append(Tube([branch, 0.5 * (branch + end) + 3.0, end], (0.55 * radius, 1.6, 1.0), samples=4))
    return tubes
