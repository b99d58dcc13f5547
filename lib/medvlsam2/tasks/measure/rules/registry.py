"""The measuring function of each name that the table uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medvlsam2.tasks.measure.rules import acquisition, aorta, density, free_air, sizes, spine
from medvlsam2.tasks.measure.rules.rule import Measure

MEASURES: Final[Mapping[str, Measure]] = {
    "air_share": density.air_share,
    "aortic_width": aorta.aortic_width,
    "area_at": spine.area_at,
    "body_region": acquisition.body_region,
    "bright_spot": density.bright_spot,
    "calcium": density.calcium,
    "contrast_phase": acquisition.contrast_phase,
    "difference_of_pair": sizes.difference_of_pair,
    "free_air": free_air.free_air,
    "height_loss": spine.height_loss,
    "length": sizes.length,
    "mean_density": density.mean_density,
    "midclavicular_height": sizes.midclavicular_height,
    "nodule_size": sizes.nodule_size,
    "trabecular_density": spine.trabecular_density,
    "width_ratio": sizes.width_ratio,
}
