"""Settings of a phantom that a caller may fix; every setting that is None is drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from medvlsam2.data.facts import ContrastPhase, Region
from medvlsam2.errors import InvalidConfig

REGION_RANGE_MM: Final[dict[str, tuple[float, float]]] = {
    "head and neck": (375.0, 728.0),
    "chest": (165.0, 425.0),
    "abdomen": (70.0, 255.0),
    "pelvis": (-140.0, 50.0),
    "chest and abdomen": (70.0, 425.0),
    "abdomen and pelvis": (-140.0, 255.0),
    "trunk": (-140.0, 425.0),
    "thighs": (-420.0, -70.0),
}
"""Height of the lowest and of the highest slice of each region, in mm above the L5-S1 disc of the reference patient."""

_AXES: Final = ({"L", "R"}, {"P", "A"}, {"I", "S"})


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Settings of one phantom scan; a field that is None is drawn from the seed.

    Raises:
        InvalidConfig: if a value is outside the allowed range.
    """

    shape_ijk: tuple[int, int, int] | None = None
    """Voxels along i, j and k."""
    spacing_mm: tuple[float, float, float] | None = None
    """Voxel spacing along i, j and k."""
    orientation: str | None = None
    """Directions in which i, j and k grow, e.g. "LPS"; any of the 48 possible orientations."""
    oblique_degrees: float | None = None
    """Angle between the grid and the patient's axes, 0 to 30."""
    region: Region | None = None
    """Part of the body."""
    phase: ContrastPhase | None = None
    """Contrast phase."""
    num_lesions: int | None = None
    """Number of findings to implant, 0 to 8; the phantom has fewer if the field of view has no room for them."""
    noise_hu: float | None = None
    """Standard deviation of the noise, 0 to 100."""
    max_voxels: int = 4_000_000
    """Most voxels of a drawn grid, which is made coarser to stay below; a given ``shape_ijk`` is kept."""

    def __post_init__(self) -> None:
        self._check_grid()
        if self.region is not None and self.region not in REGION_RANGE_MM:
            raise InvalidConfig(f"region '{self.region}' is unknown. Choose one of {', '.join(REGION_RANGE_MM)}.")
        if self.phase is not None and self.phase not in get_args(ContrastPhase):
            raise InvalidConfig(f"phase '{self.phase}' is unknown. Choose one of {', '.join(get_args(ContrastPhase))}.")
        if self.num_lesions is not None and not 0 <= self.num_lesions <= 8:
            raise InvalidConfig(f"num_lesions {self.num_lesions} is outside 0 to 8. Choose a value inside.")
        if self.noise_hu is not None and not 0.0 <= self.noise_hu <= 100.0:
            raise InvalidConfig(f"noise_hu {self.noise_hu} is outside 0 to 100. Choose a value inside.")

    def _check_grid(self) -> None:
        if self.shape_ijk is not None and not all(8 <= n <= 1024 for n in self.shape_ijk):
            raise InvalidConfig(f"shape_ijk {self.shape_ijk} must lie within 8 to 1024 on every axis.")
        if self.spacing_mm is not None and not all(0.3 <= s <= 10.0 for s in self.spacing_mm):
            raise InvalidConfig(f"spacing_mm {self.spacing_mm} must lie within 0.3 to 10 mm on every axis.")
        if self.oblique_degrees is not None and not 0.0 <= self.oblique_degrees <= 30.0:
            raise InvalidConfig(f"oblique_degrees {self.oblique_degrees} is outside 0 to 30. Choose a value inside.")
        if self.max_voxels < 100_000:
            raise InvalidConfig(f"max_voxels {self.max_voxels} is below 100000. Choose a larger value.")
        code = self.orientation
        if code is not None and (len(code) != 3 or not all(any(letter in axis for letter in code) for axis in _AXES)):
            raise InvalidConfig(
                f"orientation '{code}' is not three letters, one each of L/R, P/A and I/S. Use e.g. 'RAS'."
            )
