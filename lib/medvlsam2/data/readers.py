"""Reader of a CT scan of any known format: a CTVolume on the source grid, or an error with one sentence.

This module chooses the reader (``reading.formats``, ``reading.dicom``), converts to Hounsfield units, names the image
and collects the warnings.
"""

from __future__ import annotations

from pathlib import Path

from medvlsam2.data.label_maps import LabelMap, read_label_map, write_label_map
from medvlsam2.data.reading import dicom_mark, intensity, scan_kinds
from medvlsam2.data.reading.dicom import series
from medvlsam2.data.reading.formats import file_formats
from medvlsam2.data.reading.formats.voxel_stream import MAX_SCAN_RATIO
from medvlsam2.data.reading.names import default_image_id
from medvlsam2.data.reading.plausible_sizes import size_warnings
from medvlsam2.data.reading.stored_array import StoredArray
from medvlsam2.data.volume import CTVolume

__all__ = ["LabelMap", "read_label_map", "read_stored", "read_volume", "write_label_map"]


def read_stored(path: Path, *, geometry_only: bool = False) -> StoredArray:
    """Return the voxels of a scan as its file or series stores them, and the affine.

    Args:
        path: as for :func:`read_volume`.
        geometry_only: read headers alone: all voxels are 0 and take no memory.

    Raises:
        UnreadableVolume: as :func:`read_volume`, except for faults that only the Hounsfield units show.
        VolumeTooLarge: if the scan does not fit the memory budget.
    """
    given = scan_kinds.only_scan(path) if path.is_dir() else path
    if given.is_dir() or dicom_mark.is_dicom_file(given):
        return series.read_series(given, geometry_only=geometry_only)
    return file_formats.read_array(given, MAX_SCAN_RATIO, geometry_only=geometry_only)


def read_volume(path: Path | str, image_id: str | None = None) -> CTVolume:
    """Read a CT scan.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a folder with a DICOM series or with one such file; or one DICOM file
            (all slices of its series in the same folder are read).
        image_id: name in messages and logs; by default the file or folder name without its suffix.

    Returns:
        The scan in int16 HU, clipped to [HU_MIN, HU_MAX], in the file's axis order. ``warnings`` names doubts: values
        that are not HU, a tilted gantry, an orientation that was guessed, unusual sizes, series that were left out.

    Raises:
        UnreadableVolume: if the path is absent, of another format, damaged, truncated, not 3-D or empty; if it holds
            NaN or voxel sizes that no scanner produces; or if a DICOM series has missing, repeated or irregular
            slices.
        VolumeTooLarge: if the scan does not fit the memory budget.
    """
    path = Path(path)
    name = image_id or default_image_id(path)
    stored = read_stored(path)
    i, j, k = stored.values.shape
    sizes = size_warnings(name, stored.affine, (i, j, k))
    hu = intensity.to_hu(stored.values, name)
    doubt = intensity.ct_warning(hu)
    warnings = (*stored.warnings, *sizes, *((doubt,) if doubt else ()))
    return CTVolume(hu=hu, affine=stored.affine, image_id=name, warnings=warnings)
