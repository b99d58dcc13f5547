"""Skull, brain, face and jaws."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, VoxelBlock
from medvlsam2.data.phantom.scene import SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Grown, HalfRing, Plate, Tube, Union, Without


class Cavity:
    """The inside of the skull: the vault and the posterior fossa, above a floor that rises to the front."""

    def __init__(self, vault: Ellipsoid) -> None:
        fossa = Ellipsoid((0, -38, 616), (52, 45, 36))
        self.space = Union(vault, fossa, blend_mm=16.0)
        self.lo, self.hi = self.space.lo, self.space.hi

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        rise = np.maximum(canvas.y[block] - np.float32(28.0), 0.0)
        floor = np.float32(603.0) + np.minimum(np.float32(1.3) * rise, np.float32(28.0)) - canvas.z[block]
        floor -= np.float32(14.0) * np.clip((np.abs(canvas.x[block]) - np.float32(16.0)) / 12.0, 0.0, 1.0)
        floor -= np.float32(24.0) * (canvas.y[block] < np.float32(6.0))
        return np.maximum(self.space.distance(canvas, block), floor * np.float32(0.8))


def paint_head(scene: Scene) -> None:
    """Paint the head; a later structure covers an earlier one."""
    if scene.canvas.block(np.array([-90.0, -110.0, 505.0]), np.array([90.0, 125.0, 740.0])) is None:
        return
    vault = Ellipsoid((0, 2, 652), scene.vary((67, 85, 66), 0.03))
    cavity = Cavity(vault)
    _paint_chewing(scene)
    _paint_skull(scene, cavity)
    _paint_brain(scene, cavity)
    _paint_nose(scene)
    for sign, side in SIDES:
        _paint_orbit(scene, sign, side)
        _paint_ear(scene, sign)


def paint_jaws(scene: Scene) -> None:
    """Paint mandible, upper jaw and teeth."""
    tissues = scene.tissues
    if scene.canvas.block(np.array([-70.0, 0.0, 505.0]), np.array([70.0, 110.0, 600.0])) is None:
        return
    bone = tissues.layered("jaw", "jaw_marrow", 2.6, texture_hu=40.0)
    upper = HalfRing((0, 38, 567), (30, 50), (4.5, 8), 0.05)
    palate = Plate((0, 62, 574), (0, 1, 0.05), (1, 0, 0), (28, 25, 1.3), -0.004)
    scene.paint("skull", upper, bone)
    scene.paint("skull", palate, tissues.hu["jaw"] * 0.6)
    scene.paint("mandible", _mandible(scene), bone)
    if scene.rng.random() < 1.0 - 0.5 * scene.patient.atrophy:
        for height, axes in ((556.5, (28, 50)), (547.0, (27, 48))):
            row = HalfRing((0, 38, height), axes, (3.8, 5.2))
            scene.canvas.paint(row, tissues.teeth(7.5))


def _mandible(scene: Scene) -> Union:
    tall = scene.vary((12.5,), 0.1)[0]
    parts: list[Shape] = [HalfRing((0, 24, 537.0), (44, 67), (5.6, tall), -0.1)]
    parts.append(Ellipsoid((0, 90, 527), (15, 6, 10)))
    for sign, _ in SIDES:
        ramus = Plate((sign * 48, 24, 558), (sign * 0.05, -0.25, 1.0), (-sign * 0.15, 1.0, 0.25), (36, 17, 3.6))
        condyle = Tube([(sign * 50, 12, 576), (sign * 52, 6, 590)], (5, 5.5), samples=2)
        coronoid = Tube([(sign * 46, 36, 572), (sign * 47, 34, 588)], (4.5, 2.5), samples=2)
        parts += [ramus, condyle, coronoid, Tube([(sign * 48, 14, 540), (sign * 46, 32, 534)], (5.5, 6), samples=2)]
    return Union(*parts, blend_mm=5.0)


def _paint_chewing(scene: Scene) -> None:
    """Paint the muscles of face and jaw, and the fat of the cheek."""
    face = Union(Ellipsoid((0, 44, 586), (58, 57, 60), (8, 0, 0)), Ellipsoid((0, 52, 541), (50, 51, 27), (-10, 0, 0)),
                 blend_mm=18.0)  # fmt: skip
    scene.paint_unlabelled(face, scene.tissues.muscle_layers())
    muscle, fat = scene.tissues.solid("muscle", 6.0), scene.tissues.solid("fat", 5.0)
    for sign, _ in SIDES:
        cheek = Ellipsoid((sign * 40, 52, 566), (17, 26, 24), bump_mm=1.0)
        behind = Ellipsoid((sign * 36, 14, 572), (18, 18, 26))
        shapes = (
            Ellipsoid((sign * 57, 24, 558), scene.vary((6.5, 17, 28), 0.08), (10, 0, 0), 0.8),
            Ellipsoid((sign * 40, 22, 558), scene.vary((6.5, 15, 26), 0.08), (14, 0, 0), 0.8),
            Ellipsoid((sign * 36, 24, 590), scene.vary((13, 15, 11), 0.08)),
            Ellipsoid((sign * 66, 28, 622), scene.vary((6, 30, 34), 0.08)),
        )
        for space in (cheek, behind):
            scene.paint_unlabelled(space, fat)
        for shape in shapes:
            scene.paint_unlabelled(Grown(shape, 1.5), fat)
            scene.paint_unlabelled(shape, muscle)


def _paint_skull(scene: Scene, cavity: Cavity) -> None:
    thick = scene.vary((6.5,), 0.15)[0]
    tissues = scene.tissues
    scene.paint("skull", Grown(cavity, thick), tissues.layered("skull", "diploe", 2.2, texture_hu=60.0))
    dense = tissues.solid("skull", 90.0)
    for sign, _ in SIDES:
        petrous = Tube([(sign * 62, -20, 596), (sign * 40, -6, 602), (sign * 16, 12, 606)], (12, 11, 6), samples=8)
        mastoid = Ellipsoid((sign * 56, -22, 584), (12, 15, 17))
        condyle = Ellipsoid((sign * 18, -8, 581), (8, 12, 6))
        arch = [(sign * 64, 2, 596), (sign * 68, 30, 594), (sign * 60, 58, 592), (sign * 42, 76, 590)]
        cheekbone = Ellipsoid((sign * 46, 70, 592), (12, 11, 14))
        wing = Plate((sign * 52, 44, 616), (sign * 0.3, 0.6, 0.4), (0, 0.2, 1.0), (16, 22, 3.0))
        bones = Union(
            petrous, mastoid, condyle, Tube(arch, (4.5, 3.8, 4.5, 6), samples=9), cheekbone, wing, blend_mm=3.0
        )
        scene.paint("skull", bones, tissues.layered("skull", "diploe", 3.0, texture_hu=60.0))
    clivus = Tube([(0, 4, 584), (0, 14, 602), (0, 24, 618)], (9, 10, 12), samples=4)
    middle = Ellipsoid((0, 40, 612), (17, 22, 14))
    brow = Ellipsoid((0, 86, 636), (40, 12, 10), (0, 0, 0))
    scene.paint("skull", Union(clivus, middle, brow, blend_mm=6.0), dense)


def _paint_brain(scene: Scene, cavity: Cavity) -> None:
    tissues, atrophy = scene.tissues, scene.patient.atrophy
    inner = Without(cavity, Ellipsoid((0, 14, 604), (8, 10, 8)))
    scene.paint_unlabelled(Grown(inner, 0.5), tissues.solid("csf", 2.0))
    stem_line = [(0, -13, 574), (0, -11, 594), (0, -2, 613), (0, 0, 628), (0, 0, 640)]
    stem = Tube(stem_line, scene.vary((7.0, 10.0, 15.5, 15.5, 12.0), 0.06), samples=14)
    shrink = -1.0 - 2.2 * atrophy
    scene.paint("brain", Grown(inner, shrink), tissues.brain(atrophy))
    lower = Union(Ellipsoid((0, -50, 606), (60, 44, 30)), Ellipsoid((0, -36, 622), (30, 24, 18)), blend_mm=10.0)
    scene.paint_unlabelled(_Both(Grown(lower, 1.5), cavity), tissues.solid("csf"))
    scene.paint("cerebellum", _Both(lower, Grown(cavity, shrink)), tissues.brain(0.0))
    scene.paint_unlabelled(_Both(Grown(stem, 3.0), cavity), tissues.solid("csf"))
    scene.paint("brainstem", stem, tissues.solid("brain", 3.0))
    wide = 1.0 + 0.9 * atrophy
    fluid = tissues.solid("csf", 1.0)
    for sign, _ in SIDES:
        front = Tube([(sign * 10, 34, 662), (sign * 10, 8, 676), (sign * 18, -26, 670), (sign * 30, -14, 644)],
                     [wide * r for r in (5, 5.5, 6.5, 3.5)], samples=12)  # fmt: skip
        scene.canvas.paint(front, fluid)
    scene.canvas.paint(Ellipsoid((0, 2, 654), (2.0 * wide, 14, 10)), fluid)
    scene.canvas.paint(Ellipsoid((0, -22, 614), (6, 6, 9)), fluid)
    falx = Plate((0, 2, 680), (0, 1, 0), (0, 0, 1), (82, 36, 0.8))
    scene.canvas.paint(_Both(falx, cavity), tissues.hu["brain"] + 25.0)


class _Both:
    """The intersection of two shapes."""

    def __init__(self, shape: Shape, other: Shape) -> None:
        self.parts = (shape, other)
        self.lo, self.hi = np.maximum(shape.lo, other.lo), np.minimum(shape.hi, other.hi)

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        return np.maximum(*(part.distance(canvas, block) for part in self.parts))


def _paint_nose(scene: Scene) -> None:
    """Paint the nasal cavity and the sinuses: air within thin bone."""
    tissues, rng = scene.tissues, scene.rng
    scene.paint_unlabelled(Ellipsoid((0, 70, 592), (38, 30, 24)), tissues.solid("mucosa", 8.0))
    bridge = Tube([(0, 94, 624), (0, 104, 610)], (5, 3), samples=2)
    scene.paint("skull", bridge, tissues.solid("skull"))
    cavities = [Ellipsoid((0, 68, 594), scene.vary((13, 36, 20), 0.08), (6, 0, 0))]
    for sign, _ in SIDES:
        cavities.append(Ellipsoid((sign * 27, 66, 590), scene.vary((14, 17, 17), 0.1)))
        cavities.append(Ellipsoid((sign * 8, 66, 618), scene.vary((7, 20, 8), 0.1)))
        cavities.append(Ellipsoid((sign * 9, 40, 614), scene.vary((8, 13, 9), 0.15)))
        if rng.random() < 0.8:
            cavities.append(Ellipsoid((sign * 13, 92, 640), scene.vary((11, 4.5, 9), 0.2)))
    for cavity in cavities:
        scene.paint("skull", Grown(cavity, 1.6), tissues.hu["skull"] * 0.8)
    for cavity in cavities:
        scene.paint_unlabelled(cavity, tissues.hu["air"])
    scene.canvas.paint(Plate((0, 66, 594), (0, 1, 0), (0, 0, 1), (32, 18, 0.9)), 250.0)
    for sign, _ in SIDES:
        for height, size in ((584, 5.0), (596, 4.0)):
            fold = Tube([(sign * 7, 84, height), (sign * 8, 48, height)], (size, size), samples=3)
            scene.canvas.paint(fold, tissues.solid("mucosa"))


def _paint_orbit(scene: Scene, sign: float, side: str) -> None:
    tissues = scene.tissues
    space = Union(
        Ellipsoid((sign * 31, 76, 612), (19, 18, 17)), Ellipsoid((sign * 25, 56, 612), (13, 18, 13)), blend_mm=8.0
    )
    scene.paint("skull", Grown(space, 2.2), tissues.hu["skull"] * 0.85)
    scene.paint_unlabelled(space, tissues.solid("fat"))
    scene.paint_unlabelled(Ellipsoid((sign * 31, 96, 612), (18, 7, 14)), tissues.solid("mucosa"))
    nerve = Tube([(sign * 31, 72, 612), (sign * 22, 46, 613)], (2.4, 2.4), samples=3)
    scene.paint_unlabelled(nerve, tissues.solid("muscle"))
    for shift in ((11, 0), (-11, 0), (0, 11), (0, -11)):
        end = (sign * 31 + shift[0], 80, 612 + shift[1])
        scene.paint_unlabelled(Tube([(sign * 21, 48, 613), end], (1.8, 2.2), samples=3), tissues.solid("muscle"))
    ball = Ellipsoid(scene.jitter((sign * 31, 86, 612), 0.6), scene.vary((12.2, 12.2, 12.2), 0.03))
    scene.paint(f"eyeball_{side}", ball, tissues.layered("muscle", "vitreous", 1.2, texture_hu=1.0))
    scene.canvas.paint(Ellipsoid((sign * 31, 95, 612), (5, 2.5, 5)), 95.0)


def _paint_ear(scene: Scene, sign: float) -> None:
    """Paint the air cells of the mastoid, and the ear canal."""
    rng = scene.rng
    for _ in range(9):
        cell = np.array([sign * 57.0, -22.0, 586.0]) + rng.normal(0.0, 1.0, 3) * np.array([5.0, 7.0, 8.0])
        scene.canvas.paint(Ellipsoid(cell, rng.uniform(2.0, 4.5, 3)), scene.tissues.hu["air"] * 0.8)
    canal = Tube([(sign * 82, -6, 598), (sign * 58, -3, 600), (sign * 46, -4, 601)], (3.6, 3.2, 4.0), samples=4)
    scene.paint_unlabelled(canal, scene.tissues.hu["air"])
