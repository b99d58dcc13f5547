"""Soft tissues of the neck: airway, gullet, glands, great vessels and muscles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medvlsam2.data.phantom.scene import LABEL_VALUES, SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Grown, HalfRing, Real, Tube, Union


def paint_neck(scene: Scene) -> None:
    """Paint the neck from the skull base to the chest inlet; a later structure covers an earlier one."""
    if scene.canvas.block(np.array([-80.0, -90.0, 395.0]), np.array([80.0, 110.0, 620.0])) is None:
        return
    _paint_muscles(scene)
    _paint_vessels(scene)
    _paint_glands(scene)
    _paint_throat(scene)


def _paint_muscles(scene: Scene) -> None:
    """Paint sternocleidomastoid, levator, scalene and deep muscles, with fat between them."""
    fat, muscle = scene.tissues.solid("fat", 5.0), scene.tissues.solid("muscle", 6.0)
    lean = 1.0 - 0.2 * scene.patient.atrophy
    for sign, side in SIDES:
        deep = [(sign * 16, scene.spine_y(z) - 34.0, float(z)) for z in (400, 450, 500, 540, 562)]
        shapes = {
            "": Tube([(sign * 22, 52, 402), (sign * 34, 34, 450), (sign * 48, 10, 520), (sign * 57, -14, 570)],
                     scene.vary((8, 10, 11, 8)), bump_mm=1.0),
            "levator": Tube([(sign * 56, -62, 420), (sign * 42, -32, 480), (sign * 32, -16, 556)], (10, 10, 7)),
            "scalene": Tube([(sign * 46, 6, 402), (sign * 32, 0, 450), (sign * 24, 2, 520)], (9, 9, 6)),
            f"autochthon_{side}": Tube(deep, [lean * r for r in (18, 17, 17, 17, 13)], bump_mm=1.2),
        }  # fmt: skip
        for key, shape in shapes.items():
            scene.paint_unlabelled(Grown(shape, 1.4), fat)
            if key in LABEL_VALUES:
                scene.paint(key, shape, muscle)
            else:
                scene.paint_unlabelled(shape, muscle)


def _paint_vessels(scene: Scene) -> None:
    tissues = scene.tissues
    for sign, side in SIDES:
        sheath = [(sign * 25, 18, 440), (sign * 28, 18, 480), (sign * 32, 14, 530), (sign * 28, 6, 572)]
        scene.paint_unlabelled(Tube(sheath, (10, 11, 10, 8)), tissues.solid("fat", 5.0))
        jugular = [(sign * 30, 34, 400), (sign * 32, 19, 440), (sign * 36, 15, 490), (sign * 37, 8, 530),
                   (sign * 32, 1, 572)]  # fmt: skip
        scene.paint_unlabelled(Tube(jugular, scene.vary((7, 6.5, 6.5, 5.5, 4), 0.15)), tissues.solid("vein"))
        carotid = [(sign * 14, 26, 400), (sign * 22, 22, 440), (sign * 26, 22, 480), (sign * 28, 20, 512)]
        inner = [carotid[-1], (sign * 30, 12, 545), (sign * 28, 9, 576)]
        scene.paint_unlabelled(Tube(inner, (3.2, 2.8, 2.6), samples=6), tissues.solid("artery"))
        tube = Tube(carotid, scene.vary((3.8, 3.6, 3.6, 4.4), 0.08), samples=10)
        scene.paint(f"common_carotid_artery_{side}", tube, tissues.solid("artery"))


def _paint_glands(scene: Scene) -> None:
    tissues = scene.tissues
    for sign, side in SIDES:
        center = scene.jitter((sign * 60, 11, 560), 1.5)
        body = Ellipsoid(center, scene.vary((10, 19, 25), 0.1), (0, 0, sign * 14), 1.2)
        deep = Ellipsoid((center[0] - sign * 8, center[1] - 6, center[2] - 2), (10, 11, 16), bump_mm=0.8)
        scene.paint(f"parotid_gland_{side}", Union(body, deep, blend_mm=5.0), tissues.solid("parotid", 12.0))
        lower = Ellipsoid(scene.jitter((sign * 31, 38, 522), 2.0), scene.vary((10, 17, 12), 0.12), (0, 0, -sign * 18))
        scene.paint_unlabelled(Grown(lower, 2.5), tissues.solid("fat"))
        scene.paint(f"submandibular_gland_{side}", lower, tissues.solid("salivary", 6.0))
    lobes = [Ellipsoid((sign * 17, 27, 456), scene.vary((8, 10, 20), 0.12), bump_mm=0.6) for sign, _ in SIDES]
    isthmus = Tube([(-14, 32, 450), (0, 36, 449), (14, 32, 450)], (5, 3.5, 5), samples=4)
    scene.paint("thyroid_gland", Union(*lobes, isthmus, blend_mm=4.0), tissues.solid("thyroid", 7.0))


def _paint_throat(scene: Scene) -> None:
    """Paint pharynx, larynx and tongue with the air in them, and the hyoid."""
    tissues, rng = scene.tissues, scene.rng
    mucosa = tissues.solid("mucosa", 5.0)
    tongue = Union(
        Ellipsoid((0, 62, 549), (25, 34, 20), (-8, 0, 0), 1.0), Ellipsoid((0, 46, 536), (21, 24, 22)), blend_mm=8.0
    )
    scene.paint_unlabelled(Grown(tongue, 2.0), tissues.solid("fat", 5.0))
    scene.paint("tongue", tongue, tissues.solid("tongue", 8.0))
    floor = Ellipsoid((0, 66, 524), (20, 26, 10))
    scene.paint_unlabelled(floor, tissues.muscle_layers())
    line = [(0, 31, 592), (0, 27, 580), (0, 21, 560), (0, 19, 535), (0, 14, 512), (0, 9, 488)]
    wide = scene.vary((13.0, 14.0, 15.0, 16.0, 17.0, 13.0), 0.06)
    scene.paint("pharynx", _flat_tube(line, wide), mucosa)
    open_mm = float(rng.uniform(0.45, 0.85))
    gas = [(0, y + 4, z) for _, y, z in line[:-1]]
    scene.canvas.paint(_flat_tube(gas, [open_mm * w for w in (13, 13, 11, 13, 12)]), tissues.hu["air"])
    _paint_larynx(scene)
    hyoid = HalfRing((0, 22, 514), (20, 20), (2.6, 3.2), 0.1)
    scene.paint_unlabelled(hyoid, tissues.bone(1.2))


def _paint_larynx(scene: Scene) -> None:
    tissues, rng = scene.tissues, scene.rng
    box = Ellipsoid(scene.jitter((0, 26, 489), 1.0), scene.vary((17.5, 18.5, 20), 0.08), (-10, 0, 0), 0.8)
    scene.paint("larynx", box, tissues.solid("mucosa", 7.0))
    for ring in (HalfRing((0, 22, 492), (16, 20), (2.0, 12)), HalfRing((0, 24, 473), (12, 9), (2.5, 5))):
        hard = tissues.hu["thyroid_cartilage"] + float(rng.uniform(0.0, 260.0)) * scene.patient.age_years / 90.0
        scene.canvas.paint(ring, hard, within_label=LABEL_VALUES["larynx"])
    gas = Tube([(0, 24, 512), (0, 26, 500), (0, 28, 490), (0, 26, 482), (0, 22, 466)], (9, 8, 3.2, 6.5, 8))
    scene.canvas.paint(gas, tissues.hu["air"])


def _flat_tube(line: Sequence[tuple[Real, Real, Real]], wide: Sequence[Real]) -> Union:
    """Return a tube that is wider than deep, like the pharynx: three round tubes side by side."""
    parts = []
    for shift in (-0.5, 0.0, 0.5):
        points = [(shift * w, y, z) for (_, y, z), w in zip(line, wide, strict=True)]
        parts.append(Tube(points, [0.58 * w for w in wide], samples=12))
    return Union(*parts, blend_mm=3.0)
