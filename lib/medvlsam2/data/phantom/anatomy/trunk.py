"""Skin, fat, muscle wall and diaphragm, which enclose the organs, and the muscles of the back."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, VoxelBlock
from medvlsam2.data.phantom.hull import SIDES, Hull, domes
from medvlsam2.data.phantom.scene import Scene
from medvlsam2.data.phantom.shapes import Tube


class InsideWall:
    """A shape that is cut off at a gap inside the muscle wall, and optionally below the diaphragm."""

    def __init__(self, hull: Hull, shape: Shape, *, gap_mm: float = 3.0, below_diaphragm: bool = False) -> None:
        self.hull = hull
        self.shape = shape
        self.gap_mm = gap_mm
        self.below_diaphragm = below_diaphragm
        self.lo, self.hi = shape.lo, shape.hi

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        total = self.shape.distance(canvas, block)
        total = np.maximum(total, self.hull.inner[block] + np.float32(self.gap_mm))
        if self.below_diaphragm:
            total = np.maximum(total, self.hull.domes[block] + np.float32(max(1.2, self.gap_mm - 1.0)))
        return total


def recess_distance(canvas: Canvas, block: VoxelBlock) -> Field:
    """Return the signed distance to the half space above the lower edge of the pleura, which is lowest at the back."""
    edge = np.float32(172.0) + np.float32(0.42) * canvas.y[block]
    return (edge - canvas.z[block]) * np.float32(0.92)


def paint_hull(scene: Scene) -> None:
    """Paint skin, subcutaneous fat, muscle wall, inner fat and diaphragm over the whole grid."""
    canvas, tissues, hull = scene.canvas, scene.tissues, scene.hull
    whole = canvas.whole
    canvas.paint_field(whole, hull.skin, tissues.layered("skin", "fat", 1.8, texture_hu=5.0))
    canvas.paint_field(whole, hull.outer + np.float32(1.5) * canvas.bumps, tissues.muscle_layers())
    canvas.paint_field(whole, hull.inner, tissues.solid("fat", 5.0))
    cavity = domes(scene.patient)
    block = canvas.block(cavity.lo, cavity.hi)
    if block is not None:
        sheet = np.abs(hull.domes[block]) - np.float32(1.6)
        sheet = np.maximum(np.maximum(sheet, hull.inner[block]), recess_distance(canvas, block) - 6.0)
        canvas.paint_field(block, sheet, tissues.solid("muscle"))


def paint_back_muscles(scene: Scene) -> None:
    """Paint the long muscles beside the spine and the iliopsoas."""
    muscle = scene.tissues.solid("muscle", 8.0)
    thick = scene.vary((27.0, 26.0, 22.0, 17.0, 15.0))
    for sign, side in SIDES:
        heights = (5.0, 60.0, 150.0, 250.0, 400.0)
        points = [
            (sign * x, scene.spine_y(z) - back, z)
            for x, back, z in zip((34, 38, 36, 28, 24), (46, 56, 54, 44, 40), heights, strict=True)
        ]
        scene.paint(f"autochthon_{side}", Tube(points, thick, bump_mm=1.5), muscle)
        psoas = Tube(
            [(sign * x, y, z) for x, y, z in
             ((30, -10, 150), (42, 2, 80), (50, 10, 30), (66, 28, -20), (90, 44, -75), (108, 14, -130))],
            scene.vary((7.0, 17.0, 21.0, 22.0, 18.0, 11.0)), bump_mm=1.0,
        )  # fmt: skip
        scene.paint(f"iliopsoas_{side}", psoas, muscle)
