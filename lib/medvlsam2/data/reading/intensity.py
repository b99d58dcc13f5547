"""Conversion of stored values to Hounsfield units (HU), and a check that the values look like Hounsfield units.

The bounds were set on 133 real CT scans (whole bodies, crops inside the body, scans blanked outside a
planning mask) and 5 MR volumes. With these bounds no CT scan gives a warning and every MR volume gives one.
The docstring of each bound gives the share that was measured in those scans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Bool, Int16, Shaped

from medvlsam2.data.volume import HU_MAX, HU_MIN
from medvlsam2.errors import UnreadableVolume

DARK_HU: Final = -50
"""Fat, lung and air lie below this value. MR volumes have hardly any voxel below it."""
MIN_DARK_SHARE: Final = 0.005
"""Smallest share of voxels below DARK_HU. The lowest share in a CT was 0.2 (a crop around three vertebrae)."""
DENSE_HU: Final = 500
"""Compact bone, metal and dense contrast medium lie above this value."""
MAX_DENSE_SHARE: Final = 0.2
"""Largest share of voxels above DENSE_HU. The highest share in a CT was 0.03."""
GREY_LEVELS: Final = 255
"""Highest value of an 8-bit picture."""
WINDOW_FLOOR_HU: Final = -900
"""A scan whose lowest value lies above this holds no air.

Many voxels exactly at that lowest value mean that the scan was cut to a display window."""
MAX_FLOOR_SHARE: Final = 0.02
"""Largest share of voxels that may lie exactly at a lowest value above WINDOW_FLOOR_HU."""


def to_hu(values: Shaped[np.ndarray, "i j k"], image_id: str) -> Int16[np.ndarray, "i j k"]:
    """Return stored values as int16 HU, rounded and clipped to [HU_MIN, HU_MAX].

    An int16 array inside these limits is returned without a copy. Padding outside the scanner's field of view
    (-2000, -3024 …) becomes HU_MIN, which is air.

    Raises:
        UnreadableVolume: if a voxel is NaN or infinite, or if all voxels are equal.
    """
    stored = values.astype(np.uint8) if values.dtype.kind == "b" else values
    if stored.dtype.kind == "f":
        bad = int(stored.size - np.count_nonzero(np.isfinite(stored)))
        if bad:
            raise UnreadableVolume(
                f"Image '{image_id}' has {bad} NaN or infinite voxels of {stored.size}; every voxel must be "
                "a number. Replace them by air (-1024 HU), or export the image again."
            )
        low, high = HU_MIN, HU_MAX
    else:
        bounds = np.iinfo(stored.dtype)
        low, high = max(HU_MIN, int(bounds.min)), min(HU_MAX, int(bounds.max))
    if stored.dtype == np.int16 and stored.size and low <= stored.min() and stored.max() <= high:
        hu = stored.astype(np.int16, copy=False)
    else:
        hu = np.empty_like(stored, dtype=np.int16)
        for plane, hu_plane in zip(np.moveaxis(stored, -1, 0), np.moveaxis(hu, -1, 0), strict=True):
            hu_plane[...] = np.clip(np.rint(plane) if plane.dtype.kind == "f" else plane, low, high)
    if hu.size and hu.min() == hu.max():
        raise UnreadableVolume(
            f"Image '{image_id}' is empty: every voxel is {int(hu.flat[0])} HU (stored values "
            f"{stored.min():g} to {stored.max():g}, clipped to [{HU_MIN}, {HU_MAX}]). "
            "Give a CT in Hounsfield units."
        )
    return hu


def ct_warning(hu: Int16[np.ndarray, "i j k"]) -> str | None:
    """Return a warning if the values do not look like Hounsfield units, None if they do."""
    lowest, highest = int(hu.min()), int(hu.max())
    found = f"values from {lowest} to {highest}"
    if lowest >= -1 and highest <= 1:
        return _sentence(f"{found}: it looks scaled to 0–1")
    if lowest >= 0 and highest <= GREY_LEVELS:
        return _sentence(f"{found}: it looks like an 8-bit picture or MR")
    if lowest >= 0:
        return _sentence(f"{found}, none negative: it looks like MR, or CT stored without its rescale intercept")
    dark = _share(hu, lambda plane: plane < DARK_HU)
    if dark < MIN_DARK_SHARE:
        return _sentence(f"{found}, {dark:.1%} below {DARK_HU}: air, lung and fat are missing, as in MR")
    dense = _share(hu, lambda plane: plane > DENSE_HU)
    if dense > MAX_DENSE_SHARE:
        return _sentence(f"{found}, {dense:.0%} above {DENSE_HU}: too many for bone, as in MR")
    floor = _share(hu, lambda plane: plane == lowest)
    if lowest > WINDOW_FLOOR_HU and floor > MAX_FLOOR_SHARE:
        return _sentence(f"{found}, {floor:.0%} of them exactly {lowest}: it looks cut to a display window")
    return None


def _share(
    hu: Int16[np.ndarray, "i j k"], holds: Callable[[Int16[np.ndarray, "i j"]], Bool[np.ndarray, "i j"]]
) -> float:
    """Return the share of voxels for which ``holds`` is true.

    The voxels are counted plane by plane: a mask of the whole volume would take half as much memory as the scan.
    """
    return sum(np.count_nonzero(holds(plane)) for plane in np.moveaxis(hu, -1, 0)) / hu.size


def _sentence(finding: str) -> str:
    return (
        f"The image does not look like CT in Hounsfield units ({finding}). "
        "The model knows CT only; its results may be wrong."
    )
