"""Bodies of balls and boxes whose places in the patient are known in mm, drawn on any grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks

SHAPE_IJK = (41, 45, 43)
"""Odd and unequal, so that mixed-up axes show."""


@dataclass(frozen=True)
class Solid:
    """A ball or an ellipsoid.

    Args:
        centre_ras: in mm.
        radii_mm: along the patient's axes.
        hu: inside.
    """

    centre_ras: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    hu: int = 40

    def drawn(self, affine: np.ndarray) -> np.ndarray:
        """Its voxels on a grid."""
        index = np.indices(SHAPE_IJK).reshape(3, -1).T
        away = (geometry.ijk_to_ras(index, affine) - self.centre_ras) / self.radii_mm
        return ((away**2).sum(axis=1) <= 1).reshape(SHAPE_IJK)


def ball(x: float, y: float, z: float, radius: float, hu: int = 40) -> Solid:
    """A ball at a place in RAS mm."""
    return Solid((x, y, z), (radius, radius, radius), hu)


Scene = Mapping[str, Sequence[Solid]]
BODY: Scene = {
    "liver": [Solid((40, 20, 20), (45, 40, 40))],
    "spleen": [Solid((-60, -20, 25), (20, 25, 30))],
    "kidney_left": [Solid((-45, -40, -25), (18, 16, 30))],
    "kidney_right": [Solid((45, -45, -35), (22, 18, 34))],
    "spinal_cord": [Solid((0, -60, 0), (6, 6, 300))],
    "aorta": [Solid((-8, -30, 0), (10, 10, 300))],
}
"""Patient's right is positive: the liver lies on the right."""


def grid(turn: np.ndarray | None = None, spacing_mm: float = 5.0) -> np.ndarray:
    """An affine whose grid has its middle at the origin.

    Args:
        turn: 3x3, directions of the array axes in RAS; None: RAS.
        spacing_mm: of the voxels.
    """
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE_IJK) - 1) / 2)
    return affine


def facts_of(scene: Scene, affine: np.ndarray | None = None, *, absent: Sequence[str] = ()) -> Facts:
    """Facts of a drawn body; of findings all lesions are given."""
    affine = grid() if affine is None else affine
    hu = np.full(SHAPE_IJK, -100, dtype=np.int16)
    masks: dict[str, KeptMask] = {}
    lesions: dict[str, tuple[KeptMask, ...]] = {}
    for key, solids in scene.items():
        drawn = [solid.drawn(affine) for solid in solids]
        for solid, mask in zip(solids, drawn, strict=True):
            hu[mask] = solid.hu
        kept = tuple(one for one in map(KeptMask.of, drawn) if one is not None)
        if vocabulary.STRUCTURES[key].is_finding:
            lesions[key] = kept
        else:
            masks[key] = kept[0].union(*kept[1:])
    return Facts(
        GivenMasks(
            CTVolume(hu, affine, "drawn"),
            masks,
            lesions,
            absent=frozenset(absent),
            known_region="abdomen",
            every_finding_is_given=True,
        )
    )


@pytest.fixture
def body() -> Callable[..., Facts]:
    """Facts of the body with further solids."""

    def drawn(more: Scene | None = None, *, absent: Sequence[str] = (), without: Sequence[str] = ()) -> Facts:
        scene = {key: solids for key, solids in BODY.items() if key not in without}
        return facts_of({**scene, **(more or {})}, absent=absent)

    return drawn
