"""Aorta with its arch and pelvic branches, inferior vena cava, portal and splenic vein."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Field, Tissue, VoxelBlock
from medvlsam2.data.phantom.scene import SIDES, Scene
from medvlsam2.data.phantom.shapes import Tube

AORTA_SPLIT_MM = 46.0
"""Height of the aortic bifurcation."""


def paint_vessels(scene: Scene) -> None:
    """Paint the great vessels of the trunk."""
    tissues = scene.tissues
    vein = tissues.solid("vein")
    cava = Tube(
        [(17, 28, 44), (17, 30, 100), (21, 28, 160), (24, 30, 205), (22, 36, 238), (18, 40, 268)],
        scene.vary((10.0, 10.5, 11.0, 12.5, 12.5, 11.0), 0.1),
    )
    scene.paint("inferior_vena_cava", cava, vein)
    portal = Tube(
        [(-82, 0, 172), (-50, 14, 165), (-18, 36, 152), (8, 42, 150), (30, 42, 166), (50, 38, 182)],
        scene.vary((4.0, 4.5, 5.0, 6.5, 7.0, 5.0)),
    )
    scene.paint("portal_vein_and_splenic_vein", portal, tissues.solid("portal"))
    for sign, side in SIDES:
        renal = Tube([(sign * 12, 24, 134), (sign * 34, 14, 130), (sign * 58, 0, 127)], (5, 4.5, 4), samples=8)
        scene.paint_unlabelled(renal, vein)
        iliac = [(17 if sign > 0 else 8, 24, 44), (sign * 36, 12, 4), (sign * 52, 0, -25),
                 (sign * 76, 38, -82), (sign * 80, 50, -150)]  # fmt: skip
        scene.paint(f"iliac_vena_{side}", Tube(iliac, scene.vary((8, 7.5, 7, 7, 7))), vein)
    scene.paint("aorta", aorta(scene), _arterial(scene))
    for sign, side in SIDES:
        iliac = [
            (-11, 27, 48),
            (sign * 32, 26, 8),
            (sign * 54, 18, -25),
            (sign * 80, 50, -80),
            (sign * 86, 60, -150),
        ]
        thigh = [(sign * 84, 56, -146), (sign * 80, 44, -240), (sign * 76, 20, -340), (sign * 74, -8, -430)]
        scene.paint_unlabelled(Tube(thigh, (4.5, 4.2, 4, 4)), _arterial(scene))
        scene.paint_unlabelled(Tube([(x - sign * 8, y - 6, z) for x, y, z in thigh], (5, 5, 5, 5)), vein)
        scene.paint(f"iliac_artery_{side}", Tube(iliac, scene.vary((6.0, 5.5, 5.0, 5.0, 4.5))), _arterial(scene))


def aorta(scene: Scene) -> Tube:
    """Return the aorta from its root to the bifurcation, widened at an aneurysm."""
    spine = scene.spine_y
    low = [(-11.0, 28.0, AORTA_SPLIT_MM)]
    low += [(-13.0 - 0.05 * (z - 80), spine(z) + 28.0, float(z)) for z in (70, 90, 110, 130, 150, 175, 200)]
    low += [(-22.0, spine(z) + 24.0, float(z)) for z in (235, 270, 305, 340)]
    arch = [(-21.0, -12.0, 362.0), (-12.0, 8.0, 374.0), (4.0, 34.0, 368.0), (13.0, 48.0, 345.0), (2, 47, 308)]
    points = [*low, *arch]
    width = scene.vary((1.0,), 0.12)[0]
    shape = np.interp([p[2] for p in low], (46, 130, 240, 340), (8.2, 9.5, 11.5, 12.2))
    radii = width * np.array([*shape, 12.6, 13.0, 13.8, 15.0, 15.0])
    bulge = scene.organ_findings.aneurysm
    if bulge is not None:
        heights = np.array([p[2] for p in points])
        near = np.exp(-(((heights - bulge.z_mm) / (0.6 * bulge.half_length_mm)) ** 2))
        near[len(low) :] = 0.0
        radii = radii + near * (bulge.radius_mm - radii)
    return Tube(points, radii.tolist(), samples=60, reach_mm=5.0)


def _arterial(scene: Scene) -> Tissue:
    blood = np.float32(scene.tissues.hu["artery"])
    share = scene.patient.calcified

    def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
        lumen = blood + np.float32(4.0) * canvas.grain[block]
        if share <= 0.0:
            return lumen
        patches = np.clip((canvas.grain[block] - np.float32(2.2 - 2.0 * share)) * 3.0, 0.0, 1.0)
        return lumen + patches * (distance > np.float32(-2.0)) * (np.float32(700.0) - lumen)

    return paint
