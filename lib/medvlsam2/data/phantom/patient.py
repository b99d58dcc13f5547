"""Who is scanned: sex, build, what was removed, and the outline of the trunk at every height."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from medvlsam2.data.phantom.canvas import Block, Canvas, Field

_HEIGHTS: Final = (-170, -100, -50, 0, 50, 100, 150, 200, 260, 320, 370, 410, 440, 475)
_PROFILES: Final[dict[str, tuple[float, ...]]] = {
    "outer_half": (158, 166, 158, 142, 132, 132, 140, 146, 149, 152, 158, 162, 110, 62),
    "outer_front": (72, 82, 92, 96, 100, 110, 116, 119, 119, 112, 98, 74, 54, 40),
    "outer_back": (-88, -90, -88, -84, -82, -82, -86, -94, -102, -106, -102, -92, -80, -72),
    "inner_half": (46, 54, 68, 104, 118, 119, 127, 132, 132, 126, 108, 80, 46, 20),
    "inner_front": (40, 56, 76, 83, 89, 98, 103, 105, 103, 94, 79, 56, 32, 12),
    "inner_back": (-40, -58, -60, -52, -50, -52, -62, -78, -87, -90, -84, -68, -46, -32),
    "spine": (-40, -40, -40, -12, 0, 2, -8, -22, -39, -46, -41, -32, -24, -18),
}
"""Half widths, fronts and backs in mm of the muscle wall's outer and inner surface, and the spine's y."""
_ROUNDNESS: Final = 1.1
"""2 gives ellipses, 0 gives squares with round corners."""
_TABLE_FROM_MM: Final = -260.0
_TABLE_STEP_MM: Final = 0.5
_TABLE: Final = np.arange(_TABLE_FROM_MM, 600.0, _TABLE_STEP_MM)

VERTEBRA_TOPS_MM: Final = (
    *((name, top) for name, top in zip(("L5", "L4", "L3", "L2", "L1"), (33, 68, 103, 138, 171), strict=True)),
    *((f"T{n}", 171 + step) for n, step in zip(range(12, 0, -1), np.cumsum(
        (29, 27, 26, 24, 24, 23, 22, 22, 21, 20, 20, 19)), strict=True)),
)  # fmt: skip
"""Names and upper ends of the vertebrae with their discs, from below."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One person, drawn at random."""

    sex: Literal["female", "male"]
    """Sex."""
    scale: tuple[float, float, float]
    """Size relative to the reference patient along x, y and z."""
    fat_mm: float
    """Subcutaneous fat at the flank."""
    profiles: dict[str, Float[np.ndarray, " n"]] = field(repr=False)
    """Outline of the trunk by height."""
    removed: tuple[str, ...]
    """Structures taken out by surgery."""
    calcified: float
    """Share of the aortic wall that is calcified."""
    marrow_hu: float
    """Mean of cancellous bone."""
    dome_mm: float
    """How much higher (or lower) than usual the diaphragm stands."""

    def profile(self, name: str, z_mm: float | int) -> float:
        """One value of the outline at one height."""
        return float(np.interp(z_mm, _TABLE, self.profiles[name]))

    def at(self, name: str, z: Field) -> Field:
        """The outline at the height of every voxel."""
        index = ((z - np.float32(_TABLE_FROM_MM)) * np.float32(1.0 / _TABLE_STEP_MM)).astype(np.int16)
        return np.asarray(self.profiles[name].take(index, mode="clip"))

    def wall_distance(self, canvas: Canvas, block: Block, surface: str, grow: str | None = None) -> Field:
        """Signed distance to the ``inner`` or ``outer`` surface of the muscle wall, or to the skin.

        Args:
            canvas: the grid.
            block: voxels.
            surface: "inner" or "outer".
            grow: "skin" adds the subcutaneous fat to the outer surface.
        """
        z = canvas.z[block]
        half, front, back = (self.at(f"{surface}_{side}", z) for side in ("half", "front", "back"))
        if grow == "skin":
            fat = self.at("fat", z)
            half, front, back = half + fat, front + np.float32(0.9) * fat, back - fat
        depth = np.float32(0.5) * (front - back)
        u = canvas.x[block] / half
        v = (canvas.y[block] - np.float32(0.5) * (front + back)) / depth
        u2, v2 = u * u, v * v
        level = np.sqrt(np.sqrt(u2 * u2 + v2 * v2 + np.float32(_ROUNDNESS) * u2 * v2))
        slope = np.sqrt(u2 / (half * half) + v2 / (depth * depth) + np.float32(1e-9))
        return level * (level - 1.0) / slope

    def wall_point(self, theta: float, z_mm: float, depth: float) -> tuple[float, float, float]:
        """Point inside the muscle wall, for ribs.

        Args:
            theta: angle in radians, 0 at the back's midline, growing to the patient's right.
            z_mm: height.
            depth: 0 at the inner surface, 1 at the outer.
        """
        corners = []
        for surface in ("inner", "outer"):
            half, front, back = (self.profile(f"{surface}_{s}", z_mm) for s in ("half", "front", "back"))
            u, v = np.sin(theta), -np.cos(theta)
            level = (u**4 + v**4 + _ROUNDNESS * u * u * v * v) ** 0.25
            corners.append(np.array([half * u / level, 0.5 * (front + back) + 0.5 * (front - back) * v / level]))
        x, y = corners[0] + depth * (corners[1] - corners[0])
        return float(x), float(y), z_mm


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw one person."""
    sex: Literal["female", "male"] = "female" if rng.random() < 0.5 else "male"
    fat_mm = float(np.clip(rng.gamma(4.0, 4.5), 5.0, 42.0))
    profiles = {name: np.interp(_TABLE, _HEIGHTS, values).astype(np.float32) for name, values in _PROFILES.items()}
    thickness = (1.2, 1.25, 1.2, 1.15, 1.0, 0.95, 0.85, 0.75, 0.65, 0.6, 0.55, 0.5, 0.5, 0.5)
    profiles["fat"] = (fat_mm * np.interp(_TABLE, _HEIGHTS, thickness)).astype(np.float32)
    smooth = np.hanning(81)
    for name, values in profiles.items():
        padded = np.pad(values, 40, mode="edge")
        profiles[name] = np.convolve(padded, smooth / smooth.sum(), "valid").astype(np.float32)
    size = rng.normal(0.97 if sex == "female" else 1.03, 0.04)
    scale = tuple(float(np.clip(size * rng.normal(1.0, 0.03), 0.85, 1.17)) for _ in range(3))
    removed = []
    if rng.random() < 0.12:
        removed.append("gallbladder")
    if rng.random() < 0.03:
        removed.append("spleen")
    if rng.random() < 0.05:
        removed.append("kidney_left" if rng.random() < 0.5 else "kidney_right")
    return Patient(
        sex=sex,
        scale=(scale[0], scale[1], scale[2]),
        fat_mm=fat_mm,
        profiles=profiles,
        removed=tuple(removed),
        calcified=float(np.clip(rng.normal(0.1, 0.25), 0.0, 0.7)),
        marrow_hu=float(rng.uniform(110.0, 230.0)),
        dome_mm=float(rng.normal(0.0, 7.0)),
    )
