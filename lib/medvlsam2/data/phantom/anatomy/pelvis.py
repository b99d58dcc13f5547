"""Organs and gluteal muscles of the pelvis."""

from __future__ import annotations

from medvlsam2.data.phantom.canvas import Shape
from medvlsam2.data.phantom.scene import SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Grown, Plate, Tube


def paint_gluteal_muscles(scene: Scene) -> None:
    """Paint the three gluteal muscles of each side, with fat between them."""
    fat, muscle = scene.tissues.solid("fat", 5.0), scene.tissues.solid("muscle", 8.0)
    for sign, side in SIDES:
        least = Plate((sign * 113, 14, -44), (sign * 0.45, 0.9, 0), (sign * 0.15, 0, 1), (32, 38, 8))
        rotation_degrees = (0.0, sign * 12.0, -sign * 24.0)
        middle = Ellipsoid((sign * 126, -6, -26), scene.vary((19, 50, 52)), rotation_degrees, 1.0)
        rotation_degrees = (18.0, sign * 28.0, sign * 22.0)
        largest = Ellipsoid((sign * 88, -60, -66), scene.vary((66, 26, 64)), rotation_degrees, 1.0)
        shapes: dict[str, Shape] = {
            "gluteus_minimus": least,
            "gluteus_medius": middle,
            "gluteus_maximus": largest,
        }
        for name, shape in shapes.items():
            scene.paint_unlabelled(Grown(shape, 2.5), fat)
            scene.paint(f"{name}_{side}", shape, muscle)


def paint_pelvis(scene: Scene) -> None:
    """Paint bladder, and prostate or uterus."""
    tissues = scene.tissues
    floor = [(-34, -30, -118), (-20, 4, -124), (0, 14, -126), (20, 4, -124), (34, -30, -118)]
    scene.paint_unlabelled(Tube(floor, (6, 7, 8, 7, 6), samples=10), tissues.solid("muscle"))
    if scene.patient.sex == "male":
        gland = Ellipsoid(scene.jitter((0, 2, -110), 2.0), scene.vary((24, 18, 17), 0.15), (0, 0, 0), 0.8)
        scene.paint("prostate", gland, tissues.solid("prostate", 6.0))
    else:
        womb = Ellipsoid(scene.jitter((0, -2, -56), 4.0), scene.vary((26, 22, 34), 0.15), (50, 0, 0), 1.5)
        scene.paint("uterus", womb, tissues.solid("gland", 6.0))
    filling = scene.organ_findings.bladder or float(scene.rng.uniform(0.55, 1.05))
    size = tuple(filling * r for r in scene.vary((43, 38, 36), 0.06))
    center = (float(scene.rng.normal(0.0, 3.0)), 32.0 + 4.0 * filling, -104.0 + 0.9 * size[2])
    bladder = Ellipsoid(center, size, (10, 0, 0), 1.0)
    scene.paint_unlabelled(Grown(bladder, 5.0), tissues.solid("fat", 5.0))
    scene.paint("urinary_bladder", bladder, tissues.layered("gut_wall", "bladder", 2.5, texture_hu=2.0))
