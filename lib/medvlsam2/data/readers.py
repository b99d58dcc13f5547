"""Any CT on disk becomes one CTVolume on its source grid, or an UnreadableVolume with one sentence.

The formats themselves live in ``reading.formats`` and ``reading.dicom``; here they meet: which reader, Hounsfield
units, the name of the image and what the user should be warned of.
"""

from __future__ import annotations

from pathlib import Path

from medvlsam2.data.label_maps import LabelMap, read_label_map, write_label_map
from medvlsam2.data.reading import intensity, scan_kinds
from medvlsam2.data.reading.dicom import series
from medvlsam2.data.reading.formats import file_formats
from medvlsam2.data.reading.formats.voxel_stream import MAX_SCAN_RATIO
from medvlsam2.data.reading.names import default_image_id
from medvlsam2.data.reading.plausible_sizes import size_warnings
from medvlsam2.data.reading.stored_array import StoredArray
from medvlsam2.data.volume import CTVolume

__all__ = ["LabelMap", "read_label_map", "read_stored", "read_volume", "write_label_map"]


def read_stored(path: Path, *, geometry_only: bool = False) -> StoredArray:
    """The voxels of a scan as its file or series holds them, and where they lie.

    Args:
        path: as for :func:`read_volume`.
        geometry_only: read headers alone: all voxels are 0, and take no memory.

    Raises:
        UnreadableVolume: as :func:`read_volume`, but for what only Hounsfield units show.
        VolumeTooLarge: if it does not fit the memory budget.
    """
    given = scan_kinds.only_scan(path) if path.is_dir() else path
    if given.is_dir() or scan_kinds.is_dicom_file(given):
        return series.read_series(given, geometry_only=geometry_only)
    return file_formats.read_array(given, MAX_SCAN_RATIO, geometry_only=geometry_only)


def read_volume(path: Path | str, image_id: str | None = None) -> CTVolume:
    """Read a CT scan.

    Args:
        path: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series or one such file, or one DICOM file
            (all slices of its series in that folder are read).
        image_id: name in messages and logs; by default the file or folder name without its suffix.

    Returns:
        The scan in int16 HU, clipped to [HU_MIN, HU_MAX], in the file's axis order. ``warnings`` says what is
        doubtful: not CT, a tilted gantry, an orientation that had to be guessed, sizes that no patient has, series
        that were left out.

    Raises:
        UnreadableVolume: if the path is absent, of another format, damaged, truncated, not 3-D, empty, holds
            NaN, has voxels that no scanner makes, or is a DICOM series with missing, repeated or irregular slices.
        VolumeTooLarge: if it does not fit the memory budget.
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
