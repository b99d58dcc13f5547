"""A small picture of a scan for lists of studies: its middle coronal and its middle axial plane, side by side.

Looked at as radiologists do: the patient's right is on the picture's left, the head (coronal) or the front (axial) on
top, in the soft-tissue window. No model is asked and no plane is chosen by content.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from jaxtyping import Int16, UInt8
from PIL import Image, ImageDraw, ImageFont

from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import closest_axes
from medvlsam2.transforms.window import WINDOWS_HU

PANEL_PX: Final = 168
"""Width and height of one plane's square."""
LETTER_PX: Final = 15
LETTER_RGB: Final = (255, 213, 74)
_RIGHT, _FRONT, _HEAD = 0, 1, 2


def thumbnail_png(volume: CTVolume, *, sides_known: bool = True) -> bytes:
    """Draw the picture.

    Args:
        volume: the scan.
        sides_known: whether left and right are certain; where they are not, the letters carry a question mark.

    Returns:
        A PNG file of two squares of ``PANEL_PX`` side by side.
    """
    picture = Image.new("RGB", (2 * PANEL_PX, PANEL_PX))
    for column, (rows_to, cut) in enumerate(((_HEAD, _FRONT), (_FRONT, _HEAD))):
        picture.paste(_panel(volume, rows_to, cut, sides_known=sides_known), (column * PANEL_PX, 0))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _panel(volume: CTVolume, rows_to: int, cut: int, *, sides_known: bool) -> Image.Image:
    """The middle plane across world axis ``cut``; world axis ``rows_to`` grows upwards, the patient's right is left."""
    worlds = closest_axes(volume.affine)
    axis_of = {world: axis for axis, (world, _) in enumerate(worlds)}
    middle = volume.hu.shape[axis_of[cut]] // 2
    plane = np.moveaxis(volume.hu, (axis_of[cut], axis_of[rows_to], axis_of[_RIGHT]), (0, 1, 2))[middle]
    upwards, rightwards = worlds[axis_of[rows_to]][1], worlds[axis_of[_RIGHT]][1]
    shown = plane[:: -1 if upwards > 0 else 1, :: -1 if rightwards > 0 else 1]
    spacing = volume.spacing_mm
    height_mm = shown.shape[0] * spacing[axis_of[rows_to]]
    width_mm = shown.shape[1] * spacing[axis_of[_RIGHT]]
    scale = PANEL_PX / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    grey = Image.fromarray(_grey(shown)).resize(size, Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (PANEL_PX, PANEL_PX))
    panel.paste(grey.convert("RGB"), ((PANEL_PX - size[0]) // 2, (PANEL_PX - size[1]) // 2))
    _write_sides(panel, "" if sides_known else "?")
    return panel


def _grey(hu: Int16[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns"]:
    level_hu, width_hu = WINDOWS_HU["soft"]
    share = (hu.astype(np.float32) - (level_hu - width_hu / 2)) / width_hu
    return np.asarray(np.clip(share, 0.0, 1.0) * 255, dtype=np.uint8)


def _write_sides(panel: Image.Image, doubt: str) -> None:
    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(LETTER_PX)
    for letter, x, anchor in (("R", 3, "lm"), ("L", PANEL_PX - 3, "rm")):
        draw.text(
            (x, PANEL_PX // 2), letter + doubt, LETTER_RGB, font=font, anchor=anchor, stroke_width=2, stroke_fill=0
        )
