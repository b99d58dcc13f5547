"""Colours: each structure has the same colour in OHIF, in 3D Slicer, in DICOM SEG and in pictures."""

from medvlsam2.data.colours.cielab import cielab, dicom_cielab, from_dicom_cielab
from medvlsam2.data.colours.shown import PALETTE_RGB, colors_of

__all__ = ["PALETTE_RGB", "cielab", "colors_of", "dicom_cielab", "from_dicom_cielab"]
