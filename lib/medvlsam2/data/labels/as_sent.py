"""Tells whether other programs read from a label's file exactly what our check read.

Our check tolerates much: it rounds floats, turns axes, pads a label that was cut to its paint, and ignores a
compression that the name does not say. Viewers and other trainings do not. A label that needs such tolerance is written
anew before it is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from jaxtyping import Float

from medvlsam2 import geometry
from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.placement import scan_affine
from medvlsam2.data.reading import causes
from medvlsam2.data.reading.formats.file_formats import read_array
from medvlsam2.data.reading.names import NIFTI_SUFFIXES, known_suffix

SAME_GRID_VOXELS: Final = 0.01
"""Rounding in headers stays below this (see ``geometry.GRID_TOLERANCE_VOXELS``); a label farther off is written anew on
the scan's grid."""

Affine = Float[np.ndarray, "4 4"]


def is_plain(path: Path, scan: ScanGeometry) -> bool:
    """Whether a good label's file holds integers, unscaled, on the scan's own grid, packed as its name says.

    Args:
        path: NIfTI, NRRD or MetaImage that :func:`medvlsam2.data.labels.submission.read_label_on_scan` takes.
        scan: the grid of its scan.
    """
    is_nifti = known_suffix(path) in NIFTI_SUFFIXES
    if is_nifti and not _is_nifti_of_its_name(path):
        return False
    stored = read_array(path, geometry_only=True)
    if stored.values.dtype.kind not in "iu" or stored.scaling != (1.0, 0.0) or stored.values.shape != scan.shape_ijk:
        return False
    if not is_nifti:
        sent = scan_affine.for_viewers(scan.affine, scan.shape_ijk)
        return _is_near(scan, scan_affine.itk_placement(sent, scan.shape_ijk), stored.affine)
    own = scan_affine.source_of(stored.affine, scan.shape_ijk)
    of_scan = scan_affine.source_of(scan.affine, scan.shape_ijk)
    places = [scan.affine, *(of_scan.other_affines if of_scan else ())]
    others = own.other_affines if own else ()
    return _is_near(scan, scan.affine, stored.affine) and all(
        any(_is_near(scan, place, other) for place in places) for other in others
    )


def _is_nifti_of_its_name(path: Path) -> bool:
    """Compressed where its name says so, and three axes."""
    is_packed = causes.first_bytes(path).startswith(causes.GZIP_MARK)
    if is_packed != path.name.lower().endswith(".gz"):
        return False
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Pair)
    return len(image.shape) == 3


def _is_near(scan: ScanGeometry, place: Affine, other: Affine) -> bool:
    return geometry.is_invertible(place) and (
        geometry.grid_gap_voxels(scan.shape_ijk, np.asarray(place), np.asarray(other)) <= SAME_GRID_VOXELS
    )
