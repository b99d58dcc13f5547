"""Conversion between sRGB, CIELab, and the three integers in which DICOM writes a CIELab colour.

The white point is D65, which is the white point of sRGB. DCMTK (dcmqi, 3D Slicer) and dcmjs (OHIF) use D65 too, so they
show the same colour. DICOM PS3.3 C.10.7.1.1 maps L* from 0 to 100, and a* and b* from -128 to 127, to 0 to 65535.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Num

_TO_XYZ: Final = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Matrix from linear sRGB to XYZ (IEC 61966-2-1)."""
_WHITE_XYZ: Final = np.array([0.950456, 1.0, 1.088754])
"""White point D65, with the digits of DCMTK and dcmjs."""
_LINEAR_BELOW: Final = 216 / 24389
_SLOPE: Final = 24389 / 27
_FULL: Final = 65535


def cielab(rgb: Num[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return L*, a* and b* of sRGB colours.

    Args:
        rgb: sRGB colours, 0 to 255.

    Example:
        >>> np.round(cielab(np.array([[255, 0, 0]])), 1).tolist()
        [[53.2, 80.1, 67.2]]
    """
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE_XYZ
    f = np.where(xyz > _LINEAR_BELOW, np.cbrt(xyz), (_SLOPE * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def dicom_cielab(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return an sRGB colour (0 to 255) as DICOM's Recommended Display CIELab Value (0062,000D).

    Example:
        >>> dicom_cielab((255, 255, 255))
        (65535, 32897, 32895)
    """
    lightness, a, b = cielab(np.array([rgb]))[0]
    numbers = np.rint(np.array([lightness / 100, (a + 128) / 255, (b + 128) / 255]) * _FULL)
    first, second, third = np.clip(numbers, 0, _FULL).astype(int).tolist()
    return first, second, third


def from_dicom_cielab(value: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the sRGB colour (0 to 255) of a Recommended Display CIELab Value.

    Example:
        >>> from_dicom_cielab(dicom_cielab((221, 130, 101)))
        (221, 130, 101)
    """
    lightness, a, b = np.array(value) / _FULL * (100, 255, 255) - (0, 128, 128)
    middle = (lightness + 16) / 116
    f = np.array([middle + a / 500, middle, middle - b / 200])
    xyz = np.where(f**3 > _LINEAR_BELOW, f**3, (116 * f - 16) / _SLOPE) * _WHITE_XYZ
    linear = np.linalg.inv(_TO_XYZ) @ xyz
    share = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    red, green, blue = np.clip(np.rint(share * 255), 0, 255).astype(int).tolist()
    return red, green, blue
