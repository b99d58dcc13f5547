"""The part of the body that a scan shows, told by the volumes of the structures that are seen in it.

The body axis (``body_axis``) tells it from their places. This is asked only where the axis places a scan nowhere, as it
does with three slices, or with one structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy

WEIGHT_OF_CUT: Final = 0.15
"""A structure that an end of the scan cuts counts this share of its volume. The cut lungs below a neck have ten times
the volume of everything in the neck, and the neck is what the scan was made for."""
PRICE_OF_A_PART: Final = 0.4
"""Share of the weight for which a region that covers the whole vocabulary must show more than one that covers none.

Both numbers were tried on the true masks of 41 phantoms and nine real scans, and on the quick masks of 35 scans. With
whole volumes and a price of 0.2, 51 of 85 regions were wrong, among them 14 of 21 necks. With these numbers 18 are, and
no neck: they call a region too large, where a scan of the chest or abdomen goes far into the other, or thighs pelvis.
"""


@dataclass(frozen=True)
class SeenVolume:
    """How much of a structure was seen."""

    volume_ml: float
    is_cut: bool = False
    """Whether it reaches an end of the scan."""

    @property
    def weight_ml(self) -> float:
        """What it counts as a witness of the part of the body."""
        return self.volume_ml * (WEIGHT_OF_CUT if self.is_cut else 1.0)


def likeliest_region(extents: Mapping[str, SeenVolume]) -> Region:
    """The part of the body that shows most of what was found, the smaller one where two show as much.

    Args:
        extents: of every structure found, by vocabulary key; some of them may be mistakes.
    """
    total_ml = sum(extent.weight_ml for extent in extents.values())

    def shown(region: Region) -> float:
        covered_ml = sum(extent.weight_ml for key, extent in extents.items() if anatomy.is_covered(key, region))
        return covered_ml / total_ml - PRICE_OF_A_PART * len(anatomy.in_region(region)) / len(vocabulary.STRUCTURES)

    return max(anatomy.REGION_NAMES, key=shown)
