"""The range of one scan on the body axis, from the extents of the structures that it shows.

A scan that begins ``offset`` mm above the zero of the axis and whose patient is ``1 / scale`` times as tall as the
usual one shows the height ``x`` at ``offset + scale * x``. Every end of a structure is evidence for both numbers. An
end that the scan does not cut lies where the table says, give or take its spread; an end that the scan cuts lies beyond
the scan's end. A share of all masks is wrong, so each piece of evidence may be a mistake (a mixture with a flat part).
The posterior is summed on a grid of both numbers. So two places that explain the masks equally well give a wide
posterior, and not one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from medvlsam2.tasks.measure.body_axis.extents import Extent
from medvlsam2.tasks.measure.body_axis.scan_range import ScanRange
from medvlsam2.tasks.measure.body_axis.table import Span, load_axis

SCALES: Final = np.linspace(0.8, 1.2, 17)
SCALE_SD: Final = 0.06
"""Spread of trunk lengths between adults: sitting height varies by about 4 % within a sex, and between the sexes."""
STEP_MM: Final = 4.0
LOWEST_MM, HIGHEST_MM = -1000.0, 700.0
"""Offsets that are tried: from the knees to the vertex."""
LEAST_SD_MM: Final = 8.0
"""Spread of an end at least: vertebrae and slices are coarser than the table."""
WIDEST_SD_MM: Final = 60.0
"""Ends that vary more between scans tell nothing; the lower end of a contoured spinal cord is one."""
WRONG: Final = 0.1
"""Share of ends that belong to a wrong mask."""
STRANGE: Final = 0.5
"""The same share for masks whose height is far from the structure's."""
FLAT_MM: Final = 1700.0
"""Length over which a wrong end may lie anywhere."""
INDEPENDENT: Final = 12
"""All ends together count as at most so many. Ends are not independent: of a person with a high diaphragm all organs
lie high, and 24 ribs are one chest."""
NORMAL_95: Final = 1.645
"""95th percentile of the standard normal distribution."""
AGREES: Final = 2.5
"""An end agrees with the range if it lies within so many standard deviations."""
LEAST_AGREEING: Final = 0.5
"""A range with which fewer of all ends agree is no explanation of what is seen."""
FEWEST: Final = 2
"""A range needs the evidence of so many structures."""
MOST_UNSURE_MM: Final = 60.0
"""A range whose ends are less sure tells nothing."""
USUAL_HEIGHT: Final = (0.5, 1.8)
"""Height of a mask relative to the table's height; others are strange."""


def fit(extents: Mapping[str, Extent], height_mm: float) -> ScanRange | None:
    """Return the range of a scan on the body axis; None if the masks do not tell it.

    Args:
        extents: of the structures that are seen, by vocabulary key.
        height_mm: of the scan, from the lower face of the lowest slice to the upper face of the highest.
    """
    axis = load_axis()
    used = {key: extent for key, extent in extents.items() if key in axis.spans}
    if len(used) < FEWEST:
        return None
    offsets = np.arange(LOWEST_MM, HIGHEST_MM, STEP_MM)[:, None]
    scales = SCALES[None, :]
    log_p = 0.0 * offsets - ((scales - 1.0) / SCALE_SD) ** 2 / 2
    weight = min(1.0, INDEPENDENT / (2 * len(used)))
    for key, extent in used.items():
        wrong = _wrong(axis.spans[key], extent)
        log_p = log_p + weight * _of_extent(axis.spans[key], extent, offsets, scales, wrong)
    p = np.exp(log_p - log_p.max())
    low_mm, low_sd = _middle(p, offsets + 0.0 * scales)
    high_mm, high_sd = _middle(p, offsets + scales * height_mm)
    if max(low_sd, high_sd) > MOST_UNSURE_MM:
        return None
    agreeing = sum(
        _agreeing(axis.spans[key], extent, low_mm, (high_mm - low_mm) / height_mm) for key, extent in used.items()
    )
    if agreeing < max(FEWEST, LEAST_AGREEING * 2 * len(used)):
        return None
    return ScanRange(low_mm, high_mm, low_sd, high_sd, agreeing, 2 * len(used))


def _of_extent(
    span: Span, extent: Extent, offsets: Float[np.ndarray, "o 1"], scales: Float[np.ndarray, "1 s"], wrong: float
) -> Float[np.ndarray, "o s"]:
    """Logarithm of the likelihood of both ends of a mask."""
    total = np.zeros((offsets.shape[0], scales.shape[1]))
    for end, at_mm, is_cut, sign in (
        (span.low, extent.low_mm, extent.low_is_cut, 1.0),
        (span.high, extent.high_mm, extent.high_is_cut, -1.0),
    ):
        sd = max(end.sd_mm, LEAST_SD_MM)
        apart = (offsets + scales * at_mm - end.at_mm) / sd
        if is_cut:
            # The structure goes on beyond the scan's end: below the lower one, above the upper one.
            total += np.log((1 - wrong) * ndtr(sign * apart) + wrong / 2)
        elif end.sd_mm <= WIDEST_SD_MM:
            right = np.exp(-0.5 * apart**2) / (sd * np.sqrt(2 * np.pi))
            total += np.log((1 - wrong) * right + wrong / FLAT_MM)
    return total


def _wrong(span: Span, extent: Extent) -> float:
    """Share of such masks that are wrong."""
    height_mm = extent.high_mm - extent.low_mm
    usual_mm = span.high.at_mm - span.low.at_mm
    is_whole = not (extent.low_is_cut or extent.high_is_cut)
    is_strange = height_mm > USUAL_HEIGHT[1] * usual_mm or (is_whole and height_mm < USUAL_HEIGHT[0] * usual_mm)
    return STRANGE if is_strange else WRONG


def _middle(p: Float[np.ndarray, "o s"], values: Float[np.ndarray, "o s"]) -> tuple[float, float]:
    """The median, and the standard deviation of a normal distribution with the same 5th and 95th percentile."""
    order = np.argsort(values, axis=None)
    below = np.cumsum(p.ravel()[order])
    low, middle, high = np.interp(np.array([0.05, 0.5, 0.95]) * below[-1], below, values.ravel()[order]).tolist()
    return middle, (high - low) / (2 * NORMAL_95)


def _agreeing(span: Span, extent: Extent, offset_mm: float, scale: float) -> int:
    """Number of ends that agree with a range."""
    ends = (
        (span.low, extent.low_mm, extent.low_is_cut, 1.0),
        (span.high, extent.high_mm, extent.high_is_cut, -1.0),
    )
    count = 0
    for end, at_mm, is_cut, sign in ends:
        apart = (offset_mm + scale * at_mm - end.at_mm) / max(end.sd_mm, LEAST_SD_MM)
        count += (sign * apart > -AGREES) if is_cut else abs(apart) <= AGREES
    return count
