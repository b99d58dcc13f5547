"""Organs of the abdomen."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.anatomy.trunk import InsideWall
from medvlsam2.data.phantom.canvas import Shape
from medvlsam2.data.phantom.scene import LABEL_VALUES, SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Grown, Plate, Tube, Union, Without


def paint_abdomen(scene: Scene) -> None:
    """Paint the organs between diaphragm and pelvis; a later organ covers an earlier one."""
    kidneys = _kidneys(scene)
    _paint_bowel(scene)
    _paint_liver(scene, kidneys)
    _paint_stomach(scene)
    if "spleen" not in scene.patient.removed:
        size = scene.organ_findings.spleen or 1.0
        center = scene.jitter((-102, -26 + 30 * (size - 1.0), 190 + 0.7 * scene.patient.dome_mm - 70 * (size - 1.0)))
        radii = size * np.asarray(scene.vary((38, 56, 50), 0.12))
        body = Ellipsoid(center, radii, (0, -18, 25), 2.0)
        hollow = Ellipsoid((-50, 8, 176), (28, 42, 60))
        spleen = InsideWall(scene.hull, Without(body, hollow), gap_mm=_gap_mm(scene, 2.0), below_diaphragm=True)
        scene.paint("spleen", spleen, scene.tissues.solid("spleen"))
    _paint_kidneys(scene, kidneys)
    _paint_pancreas(scene)
    _paint_adrenals(scene)
    if "gallbladder" not in scene.patient.removed:
        center = scene.jitter((66, 74, 136), 3.0)
        bag = Ellipsoid(center, scene.vary((14, 23, 17), 0.15), (-35, 0, 10), 0.8)
        scene.paint_unlabelled(Grown(bag, 1.5), scene.tissues.solid("gut_wall"))
        scene.paint("gallbladder", bag, scene.tissues.solid("bile", 2.0))


def _gap_mm(scene: Scene, usual_mm: float) -> float:
    """Return the gap between an organ and the wall, in which free fluid collects."""
    return max(usual_mm, 0.25 * (scene.organ_findings.ascites_mm or 0.0))


def _kidneys(scene: Scene) -> dict[str, Ellipsoid]:
    places = {"right": (68, -12, 122), "left": (-70, -14, 134)}
    return {
        side: Ellipsoid(scene.jitter(places[side]), scene.vary((27, 27, 54), 0.09), (14, sign * 14, 0), 1.0)
        for sign, side in SIDES
        if f"kidney_{side}" not in scene.patient.removed
    }


def _paint_kidneys(scene: Scene, kidneys: dict[str, Ellipsoid]) -> None:
    for sign, side in SIDES:
        if side not in kidneys:
            continue
        bean = kidneys[side]
        x, y, z = bean.center
        sinus = Ellipsoid((x - sign * 22, y + 8, z), (13, 10, 23))
        scene.paint_unlabelled(Grown(bean, scene.vary((9.0,), 0.2)[0]), scene.tissues.solid("fat", 5.0))
        scene.paint(f"kidney_{side}", Without(bean, sinus), scene.tissues.kidney())
        funnel = Ellipsoid((x - sign * 14, y + 5, z - 2), scene.vary((7, 6, 13), 0.2))
        scene.canvas.paint(funnel, scene.tissues.solid("urine", 2.0))


def _paint_liver(scene: Scene, kidneys: dict[str, Ellipsoid]) -> None:
    rise = 0.6 * scene.patient.dome_mm
    right = Ellipsoid(scene.jitter((76, 14, 164 + rise)), scene.vary((70, 92, 92), 0.06), (0, 12, 0))
    left = Ellipsoid(scene.jitter((4, 66, 192 + rise)), scene.vary((78, 44, 38), 0.1), (0, -12, 8))
    cuts: list[Shape] = [Ellipsoid((8, 4, 118), (52, 62, 58)), Ellipsoid((66, 82, 122), (26, 34, 26))]
    cuts += [Grown(kidneys["right"], 6.0)] if "right" in kidneys else []
    hull = Without(Union(right, left, blend_mm=25.0), *cuts)
    liver = InsideWall(scene.hull, hull, gap_mm=_gap_mm(scene, 1.0), below_diaphragm=True)
    scene.paint("liver", liver, scene.tissues.solid("liver", 5.0))
    branches = [
        [(32, 42, 168), (62, 30, 180), (102, 18, 178)],
        [(48, 36, 176), (78, 48, 160), (98, 60, 150)],
        [(22, 34, 222), (60, 14, 214), (104, -4, 196)],
        [(22, 36, 224), (34, 58, 208), (46, 78, 190)],
        [(20, 42, 222), (-8, 62, 210), (-36, 74, 198)],
    ]
    for points in branches:
        shifted = [np.add(p, (0.0, 0.0, rise)) for p in points]
        tube = Tube(shifted, (5.0, 3.8, 1.8), samples=8)
        scene.canvas.paint(tube, scene.tissues.solid("portal"), within_label=LABEL_VALUES["liver"])


def _paint_stomach(scene: Scene) -> None:
    points = [(-64, -8, 208), (-76, 16, 196), (-72, 52, 176), (-46, 78, 154), (-8, 86, 142), (26, 70, 146)]
    fill = scene.rng.uniform(0.65, 1.1)
    radii = tuple(fill * r for r in scene.vary((24, 34, 32, 25, 19, 13)))
    bag = Tube([scene.jitter(p, 3.0) for p in points], radii, bump_mm=2.0, reach_mm=5.0)
    level = float(scene.rng.uniform(35.0, 85.0))
    tissue = scene.tissues.hollow("stomach_content", 3.5, level, 0.0)
    scene.paint("stomach", InsideWall(scene.hull, bag, gap_mm=3.0, below_diaphragm=True), tissue)


def _paint_bowel(scene: Scene) -> None:
    tissues, rng = scene.tissues, scene.rng
    small = scene.vary((14.0 - 0.08 * scene.patient.fat_mm,), 0.12)[0]
    for row in range(5):
        height = 92.0 - 27.0 * row + rng.normal(0.0, 4.0)
        for depth in (42.0, 62.0, 82.0):
            xs = np.linspace(-66.0, 66.0, 7)
            points = [(x, depth + rng.normal(0.0, 7.0), height + rng.normal(0.0, 9.0) - 0.1 * abs(x)) for x in xs]
            loop = Tube(points, [small * rng.uniform(0.75, 1.2) for _ in xs], bump_mm=1.2)
            tissue = tissues.hollow("bowel_content", 2.5, depth + rng.uniform(4.0, 30.0), 0.0)
            scene.paint("small_bowel", InsideWall(scene.hull, loop), tissue)
    course = [
        (84, 44, 2), (92, 28, 42), (92, 30, 78), (86, 58, 104), (48, 88, 100), (2, 92, 88), (-46, 90, 100),
        (-88, 58, 132), (-108, 18, 146), (-104, 2, 108), (-102, 10, 58), (-98, 24, 22), (-74, 34, -8),
        (-34, 34, -22), (2, 24, -16), (10, -2, -30), (2, -32, -56), (0, -40, -92), (0, -46, -128),
    ]  # fmt: skip
    wide = scene.vary((27, 26, 24, 22, 21, 21, 21, 21, 19, 17, 16, 16, 16, 16, 16, 17, 20, 20, 12), 0.1)
    gut = Tube([scene.jitter(p, 3.5) for p in course], wide, samples=90, bump_mm=2.0, ripple=(0.13, 26.0))
    level = float(rng.uniform(60.0, 130.0))
    tissue = tissues.hollow("bowel_content", 2.5, level, float(rng.uniform(0.15, 0.6)))
    scene.paint("colon", InsideWall(scene.hull, gut), tissue)


def _paint_pancreas(scene: Scene) -> None:
    tissues = scene.tissues
    loop = [(30, 66, 146), (46, 50, 142), (50, 36, 120), (44, 28, 98), (16, 34, 88), (-14, 42, 96)]
    duodenum = Tube(loop, scene.vary((12, 11, 11, 11, 10, 10)), bump_mm=1.0)
    scene.paint("duodenum", duodenum, tissues.hollow("bowel_content", 2.5, scene.rng.uniform(40, 90), 0.0))
    points = [(27, 44, 118), (24, 48, 138), (6, 56, 150), (-20, 52, 156), (-48, 30, 164), (-74, 10, 170)]
    gland = Tube([scene.jitter(p, 2.0) for p in points], scene.vary((13, 14, 10, 9.5, 10, 8)), bump_mm=1.8)
    scene.paint("pancreas", gland, tissues.solid("pancreas", 9.0))


def _paint_adrenals(scene: Scene) -> None:
    places = {"right": (34, 8, 178), "left": (-42, 6, 182)}
    for sign, side in SIDES:
        center = np.asarray(scene.jitter(places[side], 2.0))
        limbs = Union(
            Plate(center, (sign * 0.3, -1.0, 0.1), (0.1, 0.1, 1.0), (13, 14, 2.4)),
            Plate(center - (sign * 6.0, 5.0, 0.0), (-sign * 0.5, -0.8, 0.0), (0, 0.1, 1.0), (9, 11, 2.2)),
            blend_mm=3.0,
        )
        scene.paint(f"adrenal_gland_{side}", limbs, scene.tissues.solid("adrenal"))
