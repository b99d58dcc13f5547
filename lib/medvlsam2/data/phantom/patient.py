"""The patient of a phantom: sex, build, removed organs, and the outline of the trunk at every height."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int16

from medvlsam2.data.phantom.canvas import Canvas, Field

_HEIGHTS: Final = (-170, -100, -50, 0, 50, 100, 150, 200, 260, 320, 370, 410, 440, 475, 505, 540, 570, 600)
_PROFILES: Final[dict[str, tuple[float, ...]]] = {
    "outer_half": (158, 166, 158, 142, 132, 132, 140, 146, 149, 152, 158, 156, 104, 60, 57, 58, 60, 58),
    "outer_front": (72, 82, 92, 96, 100, 110, 116, 119, 119, 112, 98, 74, 54, 42, 46, 48, 44, 30),
    "outer_back": (-88, -90, -88, -84, -82, -82, -86, -94, -102, -106, -102, -92, -82, -75, -70, -70, -76, -82),
    "inner_half": (46, 54, 68, 104, 118, 119, 127, 132, 132, 126, 108, 80, 46, 20, 20, 22, 22, 20),
    "inner_front": (40, 56, 76, 83, 89, 98, 103, 105, 103, 94, 79, 56, 32, 24, 28, 30, 26, 20),
    "inner_back": (-40, -58, -60, -52, -50, -52, -62, -78, -87, -90, -84, -68, -46, -32, -26, -20, -14, -10),
    "spine": (-40, -40, -40, -12, 0, 2, -8, -22, -39, -46, -41, -32, -26, -18, -9, -1, 3, 4),
    "fat": (1.2, 1.25, 1.2, 1.15, 1.0, 0.95, 0.85, 0.75, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.3, 0.3),
}
"""Outline of the reference patient's trunk at each of _HEIGHTS (mm): half width, front and back of the outer and of the
inner surface of the muscle wall, y of the spine, and the subcutaneous fat relative to the fat at the flank."""
_ROUNDNESS: Final = 1.1
"""Shape of the outline: 2 gives ellipses, 0 gives squares with round corners. A trunk lies between both."""
_TABLE_FROM_MM: Final = -300.0
_TABLE_STEP_MM: Final = 0.5
_TABLE: Final = np.arange(_TABLE_FROM_MM, 620.0, _TABLE_STEP_MM)

_TOPS_MM: Final = (
    *(33, 68, 103, 138, 171),
    *(200, 227, 253, 277, 301, 324, 346, 368, 389, 409, 429, 448),
    *(465, 482, 499, 516, 533, 556, 576),
)
_LEVELS: Final = (
    *(f"L{n}" for n in range(5, 0, -1)),
    *(f"T{n}" for n in range(12, 0, -1)),
    *(f"C{n}" for n in range(7, 0, -1)),
)
VERTEBRA_TOPS_MM: Final = tuple((level, float(top)) for level, top in zip(_LEVELS, _TOPS_MM, strict=True))
"""Name of each vertebra and height of its upper end in mm, from below; the disc below a vertebra belongs to it."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One person, drawn at random."""

    sex: Literal["female", "male"]
    """Sex."""
    scale: tuple[float, float, float]
    """Size relative to the reference patient along x, y and z."""
    age_years: float
    """Age."""
    fat_mm: float
    """Subcutaneous fat at the flank."""
    profiles: dict[str, Float[np.ndarray, " n"]] = field(repr=False)
    """Outline of the trunk by height (see ``_PROFILES``)."""
    removed: tuple[str, ...]
    """Structures that surgery removed."""
    calcified: float
    """Share of the aortic wall that is calcified."""
    marrow_hu: float
    """Mean HU of cancellous bone."""
    breast: float
    """Size of the breasts relative to the usual."""
    atrophy: float
    """Shrinkage of brain and muscles, 0 to 1."""
    arms_down: bool
    """Whether the arms lie beside the trunk; in scans of the head and neck they always do."""
    dome_mm: float
    """Height of the diaphragm above its usual height (negative below)."""

    def profile(self, name: str, z_mm: float | int) -> float:
        """Return one value of the outline at one height."""
        return float(np.interp(z_mm, _TABLE, self.profiles[name]))

    def at(self, name: str, z: Field) -> Field:
        """Return one value of the outline at the height of every voxel."""
        return self.lookup(name, table_index(z))

    def lookup(self, name: str, index: Int16[np.ndarray, "i j k"]) -> Field:
        """Return one value of the outline at the rows of the table that :func:`table_index` gives."""
        return np.asarray(self.profiles[name].take(index, mode="clip"))

    def wall_distance(self, canvas: Canvas, surface: str, index: Int16[np.ndarray, "i j k"]) -> Field:
        """Return the signed distance to the ``inner`` or ``outer`` surface of the muscle wall, over the whole grid.

        With u = x / half width and v = y / half depth, the outline is (u^4 + v^4 + _ROUNDNESS u^2 v^2)^(1/4) = 1.

        Args:
            canvas: the grid.
            surface: "inner" or "outer".
            index: row of every voxel in the table of heights.
        """
        half, front, back = (self.lookup(f"{surface}_{side}", index) for side in ("half", "front", "back"))
        depth = np.float32(0.5) * (front - back)
        front += back
        front *= np.float32(0.5)
        u2 = np.square(canvas.x / half)
        v2 = np.square((canvas.y - front) / depth)
        level = u2 + v2
        level = np.sqrt(np.sqrt(level * level + np.float32(_ROUNDNESS - 2.0) * u2 * v2))
        u2 /= np.square(half, out=half)
        v2 /= np.square(depth, out=depth)
        u2 += v2
        u2 += np.float32(1e-9)
        np.sqrt(u2, out=u2)
        return np.asarray(level * (level - np.float32(1.0)) / u2)

    def wall_point(self, theta: float, z_mm: float, depth: float) -> tuple[float, float, float]:
        """Return a point inside the muscle wall, for ribs.

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


def table_index(z: Field) -> Int16[np.ndarray, "i j k"]:
    """Return the row of the table of outlines for every height."""
    return ((z - np.float32(_TABLE_FROM_MM)) * np.float32(1.0 / _TABLE_STEP_MM)).astype(np.int16)


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw one person."""
    sex: Literal["female", "male"] = "female" if rng.random() < 0.5 else "male"
    fat_mm = float(np.clip(rng.gamma(4.0, 4.5), 5.0, 42.0))
    age_years = float(np.clip(rng.normal(58.0, 17.0), 18.0, 95.0))
    profiles = {name: np.interp(_TABLE, _HEIGHTS, values).astype(np.float32) for name, values in _PROFILES.items()}
    profiles["fat"] *= np.float32(fat_mm)
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
        age_years=age_years,
        calcified=float(np.clip(rng.normal(0.012 * (age_years - 50.0), 0.2), 0.0, 0.7)),
        marrow_hu=float(np.clip(rng.normal(250.0 - 1.5 * age_years, 30.0), 60.0, 270.0)),
        atrophy=float(np.clip((age_years - 45.0) / 50.0 + rng.normal(0.0, 0.15), 0.0, 1.0)),
        breast=float(np.clip(rng.normal(1.0, 0.17), 0.7, 1.35)),
        arms_down=bool(rng.random() < 0.2),
        dome_mm=float(rng.normal(0.0, 7.0)),
    )
