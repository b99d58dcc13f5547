"""Signed distances to the skin, the muscle wall and the body cavity of trunk, legs, arms and head."""

from __future__ import annotations

from typing import Final

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Field, Shape
from medvlsam2.data.phantom.patient import Patient, table_index
from medvlsam2.data.phantom.shapes import FAR_MM, Ellipsoid, Grown, Real, Tube, Union, smooth_min

SIDES: Final = ((1.0, "right"), (-1.0, "left"))
"""Sign of x and name of each side of the patient."""
_CROTCH_MM: Final = -150.0
_HEAD_BASE_MM: Final = 592.0


class Hull:
    """Signed distances over the whole grid that limit many structures; they are computed once.

    Args:
        canvas: the grid.
        patient: the patient.
        arms_down: whether the arms lie beside the trunk instead of above the head.
    """

    def __init__(self, canvas: Canvas, patient: Patient, *, arms_down: bool) -> None:
        self.arms_down = arms_down
        index = table_index(canvas.z)
        above = np.maximum(np.float32(_CROTCH_MM) - canvas.z, canvas.z - np.float32(_HEAD_BASE_MM))
        self.inner: Field = np.maximum(patient.wall_distance(canvas, "inner", index), above)
        """Signed distance to the inner surface of the muscle wall (negative in the body cavity)."""
        self.outer: Field = np.maximum(patient.wall_distance(canvas, "outer", index), above)
        """Signed distance to the outer surface of the muscles."""
        self.skin: Field = self.outer - patient.lookup("fat", index)
        """Signed distance to the skin."""
        self.domes: Field = np.full(canvas.shape_ijk, FAR_MM, np.float32)
        """Signed distance to the abdominal cavity below the diaphragm."""
        cavity = domes(patient)
        block = canvas.block(cavity.lo, cavity.hi)
        if block is not None:
            self.domes[block] = cavity.distance(canvas, block)
        for limb, fat_mm, blend_mm in limbs(patient, arms_down=arms_down):
            _join(canvas, self.outer, limb, blend_mm)
            _join(canvas, self.skin, Grown(limb, fat_mm), blend_mm)
        _join(canvas, self.skin, head_skin(), 18.0)
        if patient.sex == "female":
            _join(canvas, self.skin, _breasts(patient), 22.0)


def domes(patient: Patient) -> Union:
    """Return the abdominal cavity below the diaphragm: two domes, one for each side."""
    rise = patient.dome_mm
    right = Ellipsoid((66, 12, 140 + rise), (92, 104, 100))
    left = Ellipsoid((-68, 12, 140 + rise), (86, 102, 89))
    return Union(right, left, blend_mm=25.0)


def limbs(patient: Patient, *, arms_down: bool) -> list[tuple[Shape, float, float]]:
    """Return the muscles of each arm and leg, with the thickness of the fat around it and the width of its fillet."""
    fat, lean = patient.fat_mm, 1.0 - 0.15 * patient.atrophy
    parts: list[tuple[Shape, float, float]] = []
    for sign, _ in SIDES:
        x = 70.0 + 0.8 * fat
        leg = Tube(
            [(sign * x, y, z) for y, z in ((2, -110), (2, -180), (6, -280), (8, -400), (6, -520))],
            [lean * r for r in (72.0, 72.0, 66.0, 56.0, 48.0)],
            samples=8, reach_mm=FAR_MM, bump_mm=1.5,
        )  # fmt: skip
        parts.append((leg, fat, 14.0))
        arm = arm_line(patient, sign, arms_down=arms_down)
        parts.append(
            (Tube(arm, [lean * r for r in (42.0, 40.0, 38.0, 34.0)], samples=8, reach_mm=24.0), 0.4 * fat, 16.0)
        )
    return parts


def arm_line(patient: Patient, sign: float, *, arms_down: bool) -> list[tuple[Real, Real, Real]]:
    """Middle of one upper arm from the shoulder on, where the humerus lies."""
    if not arms_down:
        return [(sign * 150, -22, 408), (sign * 166, -24, 450), (sign * 176, -22, 530), (sign * 170, -10, 640)]
    beside = 152.0 + 1.4 * patient.fat_mm + 44.0
    return [(sign * 158, -24, 392), (sign * 186, -26, 350), (sign * beside, -30, 230), (sign * (beside + 6), -26, 90)]


def head_skin() -> Union:
    """Return the surface of scalp, face, nose and ears."""
    parts: list[Shape] = [
        Ellipsoid((0, 2, 652), (79, 99, 82)),
        Ellipsoid((0, 46, 590), (64, 62, 66), (8, 0, 0)),
        Ellipsoid((0, 48, 545), (58, 58, 34), (-10, 0, 0)),
        Ellipsoid((0, 88, 532), (26, 22, 22)),
    ]
    nose = Tube([(0, 96, 622), (0, 112, 604), (0, 117, 590), (0, 104, 580)], (7, 10, 12, 10), samples=6)
    ears = [Ellipsoid((sign * 80, -12, 602), (5, 17, 30), (0, sign * 12, sign * 20)) for sign, _ in SIDES]
    return Union(Union(*parts, blend_mm=20.0), nose, *ears, blend_mm=6.0)


def _breasts(patient: Patient) -> Union:
    size = np.array([58.0, 22.0 + 1.3 * patient.fat_mm, 55.0]) * patient.breast
    front = patient.profile("outer_front", 275.0)
    sides = [Ellipsoid((sign * 74.0, front - 4.0, 272.0), size) for sign, _ in SIDES]
    return Union(*sides, blend_mm=12.0)


def _join(canvas: Canvas, distance: Field, shape: Shape, blend_mm: float) -> None:
    """Unite the body that a distance describes with a shape, in place."""
    block = canvas.block(shape.lo - blend_mm, shape.hi + blend_mm)
    if block is not None:
        distance[block] = smooth_min(distance[block], shape.distance(canvas, block), blend_mm)
