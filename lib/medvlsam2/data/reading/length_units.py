"""Units of length in headers, and the warnings about them."""

from __future__ import annotations

from typing import Final

MM_PER_UNIT: Final = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre"), 1e-3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("dm", "decimeter", "decimetre"), 100.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre"), 1e-6),
    **dict.fromkeys(("in", "inch", "inches"), 25.4),
}
"""Millimetres per unit, by the names that NRRD and MetaImage headers use. In a NRRD header this field is free text."""

NO_SPACING: Final = "{format} header holds no voxel size: 1 mm was assumed. Lengths and volumes may be wrong."
NO_SIDES: Final = "{format} header {why}: left/right is not known (left and right are guessed)."
CONVERTED: Final = (
    "{format} header gives lengths in {unit}: they were converted to mm. Software that ignores the unit shows the "
    "scan in another size."
)
UNKNOWN_UNIT: Final = "{format} header gives lengths in '{unit}', an unknown unit: mm was assumed."


def mm_per_unit(name: str) -> float | None:
    """Return the millimetres in a unit of length; None for an unknown name, 1 for an empty name.

    Example:
        >>> mm_per_unit("um"), mm_per_unit(""), mm_per_unit("furlong")
        (0.001, 1.0, None)
    """
    plain = name.strip().strip('"').strip()
    known = MM_PER_UNIT.get(plain)
    if known is not None or not plain or plain in ("?", "???", "none"):
        return known if known is not None else 1.0
    return MM_PER_UNIT.get(plain.lower()) if len(plain) > 1 else None
