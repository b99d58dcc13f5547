"""Spine, ribs, sternum, shoulder girdle, pelvis and thigh bones."""

from __future__ import annotations

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Field, Shape, VoxelBlock
from medvlsam2.data.phantom.hull import arm_line
from medvlsam2.data.phantom.patient import VERTEBRA_TOPS_MM
from medvlsam2.data.phantom.scene import SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Plate, Tube, Union, Without, smooth_min


class _Column:
    """A part of the column of vertebral bodies, which follows the curve of the spine.

    Args:
        scene: the scene, for the curve of the spine.
        z_mm: lower and upper end.
        width: half width in mm.
        depth: half depth in mm.
        collapse: share of the height that a fractured vertebra has lost at its front; 0 for none.
    """

    def __init__(
        self, scene: Scene, z_mm: tuple[float, float], width: float, depth: float, *, collapse: float = 0.0
    ) -> None:
        self.collapse = np.float32(collapse)
        self.patient = scene.patient
        self.z_mm = z_mm
        self.width, self.depth = np.float32(width), np.float32(depth)
        y = scene.spine_y(0.5 * sum(z_mm))
        self.lo = np.array([-width - 4, y - depth - 14, z_mm[0] - 4])
        self.hi = np.array([width + 4, y + depth + 14, z_mm[1] + 4])

    def distance(self, canvas: Canvas, block: VoxelBlock) -> Field:
        """Signed distance in mm at the voxels of a block."""
        z = canvas.z[block]
        u = canvas.x[block] / self.width
        v = (canvas.y[block] - self.patient.at("spine", z)) / self.depth
        middle, half = np.float32(0.5 * sum(self.z_mm)), np.float32(0.5 * (self.z_mm[1] - self.z_mm[0]))
        height = np.abs(z - middle)
        waist = np.float32(0.06) * (np.float32(1.0) - height / half)
        side = (np.sqrt(u * u + v * v) - np.float32(1.0) + waist) * self.depth
        room = half - height
        if self.collapse:
            lost = self.collapse * half * np.clip(np.float32(1.0) + v, 0.3, 2.0)
            room = np.minimum(room, np.float32(self.z_mm[1]) - lost - z)
        return -smooth_min(-side, room, 4.0)


def paint_skeleton(scene: Scene) -> None:
    """Paint all bones of the trunk."""
    _paint_spine(scene)
    _paint_ribs(scene)
    _paint_shoulders(scene)
    _paint_sacrum(scene)
    for sign, side in SIDES:
        scene.paint(f"femur_{side}", _femur(sign), scene.tissues.bone(3.0))
        scene.paint(f"hip_{side}", _hip(sign), scene.tissues.bone(2.2))


def _paint_spine(scene: Scene) -> None:
    bottom = 0.0
    for name, top in VERTEBRA_TOPS_MM:
        if name == "C1":
            continue
        share = np.clip((top - 30.0) / 400.0, 0.0, 1.0)
        width, depth = 25.0 - 11.0 * share, _body_depth(top)
        disc_mm = 9.0 - 5.0 * share
        disc = _Column(scene, (bottom - 2.0, bottom + disc_mm + 2.0), width - 1.5, depth - 1.0)
        scene.paint_unlabelled(disc, scene.tissues.solid("disc"))
        broken, loss = scene.organ_findings.fracture or ("", 0.0)
        collapse = loss if broken == f"vertebrae_{name}" else 0.0
        if collapse:
            above = _Column(scene, (bottom + disc_mm, float(top)), width - 1.5, depth - 1.0)
            scene.paint_unlabelled(above, scene.tissues.solid("disc"))
        body = _Column(scene, (bottom + disc_mm, float(top)), width, depth, collapse=collapse)
        parts: list[Shape] = [body, _arch(scene, 0.5 * (bottom + disc_mm + float(top)), depth, name)]
        if name == "C2":
            y = scene.spine_y(565.0) + 2.0
            parts.append(Tube([(0, y, 550), (0, y + 1, 572)], (6, 5), samples=2))
        scene.paint(f"vertebrae_{name}", Union(*parts, blend_mm=2.0), scene.tissues.bone(1.8))
        bottom = float(top)
    scene.paint("vertebrae_C1", _atlas(scene), scene.tissues.bone(1.8))
    heights = np.linspace(-6.0, 576.0, 30)
    canal = [(0.0, scene.spine_y(z) - _body_depth(z) - 7.5, float(z)) for z in heights]
    scene.paint("spinal_cord", Tube(canal, [7.0] * 30, samples=58), scene.tissues.solid("canal", 5.0))


def _body_depth(z: float | int) -> float:
    """Return half of the depth of the vertebral body at a height, in mm."""
    return float(np.interp(z, (30.0, 430.0, 480.0), (17.5, 11.0, 8.5)))


def _atlas(scene: Scene) -> Union:
    """Return the first cervical vertebra, which is a ring without a body."""
    y = scene.spine_y(566.0)
    parts: list[Shape] = []
    for sign, _ in SIDES:
        parts.append(Ellipsoid((sign * 19, y - 4, 567), (8.5, 10, 9)))
        parts.append(Tube([(sign * 20, y - 4, 566), (sign * 37, y - 8, 565)], (5.0, 3.5), samples=2))
        parts.append(Tube([(sign * 14, y + 4, 566), (0, y + 12, 567)], (4.0, 4.0), samples=2))
        rear = [(sign * 19, y - 10, 567), (sign * 16, y - 27, 567), (0, y - 34, 567)]
        parts.append(Tube(rear, (4.5, 3.8, 4.2), samples=5))
    return Union(*parts, blend_mm=2.0)


def _arch(scene: Scene, z: float, depth: float, level: str) -> Union:
    back = scene.spine_y(z) - depth
    reach, drop = {"L": (36.0, -4.0), "T": (30.0, 3.0), "C": (25.0, 0.0)}[level[0]]
    parts: list[Shape] = []
    for sign, _ in SIDES:
        pedicle = [(sign * 11, back + 4, z + 3), (sign * 14, back - 9, z + 2), (sign * 11, back - 17, z)]
        parts.append(Tube(pedicle, (5.0, 5.0, 5.0), samples=4))
        parts.append(Tube([(sign * 12, back - 15, z), (sign * 1, back - 22, z - 3)], (4.0, 4.5), samples=2))
        parts.append(Tube([(sign * 14, back - 9, z), (sign * reach, back - 16, z + drop)], (4.5, 3.0), samples=3))
    long = {"C3": 0.4, "C4": 0.45, "C5": 0.55, "C6": 0.8}.get(level, 1.0)
    spinous = [(0, back - 20 - 23 * f * long, z - 3 - f * (11 * long - drop)) for f in (0.0, 0.55, 1.0)]
    parts.append(Tube(spinous, (4.0, 3.2, 3.8), samples=5))
    return Union(*parts, blend_mm=1.5)


def _paint_ribs(scene: Scene) -> None:
    tops = dict(VERTEBRA_TOPS_MM)
    length = {11: 1.75, 12: 1.1}
    front_y = scene.patient.profile("inner_front", 300.0)
    slope = scene.rng.normal(1.0, 0.1)
    for number in range(1, 13):
        start = float(tops[f"T{number}"]) - 6.0
        end_angle = length.get(number, 2.62 if number <= 7 else 2.45 - 0.12 * (number - 8))
        drop = slope * np.interp(number, (1, 4, 8, 12), (32, 78, 92, 55))
        angles = np.linspace(0.22, end_angle, 9)
        for sign, side in SIDES:
            points = []
            for share, angle in zip(np.linspace(0.0, 1.0, 9), angles, strict=True):
                height = start - drop * (share**1.25) + (3.0 if share < 0.2 else 0.0)
                points.append(scene.patient.wall_point(sign * angle, height, 0.34))
            neck = (sign * 13.0, scene.spine_y(start) - 8.0, start)
            radius = 5.4 if 2 < number < 11 else 4.6
            rib = Tube([neck, *points], [4.2] + [radius] * 9, samples=22)
            scene.paint(f"rib_{side}_{number}", rib, scene.tissues.bone(1.5))
            if number <= 9:
                tip = np.asarray(points[-1])
                goal = (sign * 15.0, front_y + 6.0, max(248.0, 388.0 - 21.0 * number))
                bend = (0.5 * (tip[0] + goal[0]), 0.5 * (tip[1] + goal[1]) + 2.0, min(tip[2], goal[2]) + 2.0)
                cartilage = Tube([tip, bend, goal], (5.2, 5.0, 4.6), samples=8)
                scene.paint("costal_cartilages", cartilage, scene.tissues.solid("cartilage", 12.0))


def _paint_shoulders(scene: Scene) -> None:
    patient, bone = scene.patient, scene.tissues.bone(1.6)
    points = [(0.0, patient.profile("inner_front", z) + 7.0, z) for z in (240.0, 290.0, 340.0, 372.0)]
    plate = Tube(points, (7.0, 8.0, 8.5, 9.0), samples=12)
    wings = [Tube([(s * 3, y, z) for _, y, z in points], (6, 9, 9, 13), samples=12) for s in (-3.0, 3.0)]
    scene.paint("sternum", Union(plate, *wings, blend_mm=4.0), bone)
    for sign, side in SIDES:
        arm = arm_line(patient, sign, arms_down=scene.hull.arms_down)
        x, y, z = arm[0]
        head = Union(Ellipsoid((x, y, z), (24, 24, 24)), Tube(arm, (16, 12, 12, 13), samples=10), blend_mm=10.0)
        scene.paint(f"humerus_{side}", head, scene.tissues.bone(3.0))
        spine = [(sign * 78, -98, z - 8), (sign * 118, -84, z + 12), (sign * 150, -40, z + 28), (x, y + 6, z + 30)]
        socket = Ellipsoid((x - sign * 30, y - 10, z - 2), (9, 18, 20), (0, 0, -sign * 30))
        blade = Plate((sign * 102, -84, 362), (sign * 0.8, 0.55, 0.2), (0.0, 0.15, 1.0), (40, 62, 3.2), sign * 0.003)
        ridge = Tube(spine, (3, 4.5, 5, 5), samples=8)
        strut = Tube([(sign * 112, -62, z - 22), (x - sign * 32, y - 12, z - 4)], (5, 9), samples=2)
        scene.paint(f"scapula_{side}", Union(blade, ridge, strut, socket, blend_mm=3.0), bone)
        line = [(sign * 18, 58, 392), (sign * 62, 48, 404), (sign * 118, 2, z + 26), (sign * 142, -22, z + 28)]
        collar = Tube(line, (8, 6, 5.5, 6), samples=10)
        scene.paint(f"clavicula_{side}", collar, bone)


def _paint_sacrum(scene: Scene) -> None:
    core = Tube([(0, -18, -8), (0, -40, -38), (0, -66, -72), (0, -70, -104)], (21, 17, 11, 5), samples=12)
    wings = [
        Tube([(sign * 16, -24, -12), (sign * 40, -42, -18), (sign * 34, -58, -58)], (17, 17, 9), samples=10)
        for sign, _ in SIDES
    ]
    canal = Tube([(0, -40, 4), (0, -58, -40), (0, -76, -72)], (6.0, 5.0, 3.0), samples=6)
    scene.paint("sacrum", Without(Union(core, *wings, blend_mm=8.0), canal), scene.tissues.bone(1.8))


def _femur(sign: float) -> Union:
    return Union(
        Ellipsoid((sign * 90, 10, -84), (23, 23, 23)),
        Tube([(sign * 90, 10, -84), (sign * 124, 2, -112)], (15, 16), samples=3),
        Ellipsoid((sign * 134, -8, -112), (14, 18, 20)),
        Tube(
            [
                (sign * 128, 0, -116),
                (sign * 124, 6, -150),
                (sign * 106, 14, -240),
                (sign * 86, 8, -400),
                (sign * 80, 2, -470),
            ],
            (19, 15, 14, 14, 18),
            samples=10,
        ),
        blend_mm=8.0,
    )


def _hip(sign: float) -> Without:
    wing = Plate((sign * 92, -4, -4), (sign * 0.52, 0.85, 0.0), (sign * 0.22, -0.1, 1.0), (74, 56, 5.0), -sign * 0.0016)
    socket = Ellipsoid((sign * 82, 8, -78), (33, 36, 36))
    seat = Tube([(sign * 74, -14, -92), (sign * 62, -38, -122), (sign * 58, -40, -136)], (13, 14, 12), samples=8)
    upper = Tube([(sign * 76, 26, -84), (sign * 40, 52, -96), (sign * 7, 54, -110)], (10, 8, 10), samples=10)
    lower = Tube([(sign * 58, -36, -136), (sign * 32, 12, -136), (sign * 8, 48, -120)], (8, 7, 8), samples=8)
    neck = Tube([(sign * 84, 6, -62), (sign * 86, 0, -30), (sign * 68, -36, -12)], (18, 13, 10), samples=8)
    bone = Union(wing, socket, seat, upper, lower, neck, blend_mm=8.0)
    ball = Ellipsoid((sign * 90, 10, -84), (26, 26, 26))
    return Without(bone, ball, Ellipsoid((sign * 126, 10, -96), (26, 30, 30)))
