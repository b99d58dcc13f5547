"""An affine that knows the file it came from, so that what is written on its grid lies on that file everywhere.

A NIfTI file has up to two transforms, the sform and the qform. nibabel takes the one, ITK (3D Slicer, ITK-SNAP,
SimpleITK) often the other. ITK also shows a tilted DICOM series upright. A mask that holds the affine alone lies on
its scan in one program and beside it in another. So the affine of a scan carries the fields of its header, and the
writers copy them. An array that is computed from it, also a copy, is a plain affine again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num

from medvlsam2 import geometry
from medvlsam2.data.placement import nifti_place

ORTHOGONAL_TOLERANCE: Final = 1e-5
"""Cosine below which two axes stand at right angles: a tenth of what ITK allows."""


@dataclass(frozen=True, eq=False)
class SourceGeometry:
    """How the file of a scan says where its voxels lie.

    Args:
        shape_ijk: voxels of the scan along i, j and k.
        nifti: the file's header, of a NIfTI.
        shown: where ITK shows the scan, of other formats; ``_ijk`` to ``_ras`` mm.
    """

    shape_ijk: tuple[int, int, int]
    nifti: nib.Nifti1Header | None = None
    shown: Float[np.ndarray, "4 4"] | None = None

    @cached_property
    def itk_affine(self) -> Float[np.ndarray, "4 4"] | None:
        """Where ITK places the scan, ``_ijk`` to ``_ras`` mm; None where ITK refuses the file."""
        return self.shown if self.nifti is None else _placed_by_itk(self.nifti)

    @cached_property
    def other_affines(self) -> tuple[Float[np.ndarray, "4 4"], ...]:
        """Places at which programs show the scan beside its own affine: ITK's, the sform's, the qform's.

        The last two also in millimetres where the header has another unit, which many programs pass over.
        """
        found = [] if self.itk_affine is None else [self.itk_affine]
        if self.nifti is not None:
            if self.itk_affine is None:
                unit = np.diag([nifti_place.mm_per_header_unit(self.nifti)] * 3 + [1.0])
                placed = [unit @ form for form in nifti_place.forms(self.nifti)]
                found += [orthogonal(form) for form in placed if geometry.is_invertible(form)]
            for form in nifti_place.forms(self.nifti):
                for unit_mm in {nifti_place.mm_per_header_unit(self.nifti), 1.0}:
                    found.append(np.diag([unit_mm, unit_mm, unit_mm, 1.0]) @ form)
        return tuple(found)


class ScanAffine(np.ndarray):
    """A read-only 4x4 affine with the geometry of the file that it was read from.

    Example:
        >>> affine = ScanAffine(np.eye(4), SourceGeometry((4, 5, 6)))
        >>> affine.source.shape_ijk, (affine @ affine).source
        ((4, 5, 6), None)
    """

    source: SourceGeometry | None

    def __new__(cls, affine: Float[np.ndarray, "4 4"], source: SourceGeometry | None) -> ScanAffine:
        """Copy an affine and say where it is from."""
        made = np.array(affine, dtype=np.float64).view(cls)
        made.source = source
        made.flags.writeable = False
        return made

    def __array_finalize__(self, _: Any) -> None:
        self.source = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ScanAffine, (np.array(self), self.source)


def of_nifti(stored: nib.Nifti1Header, affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """The affine of a scan in a NIfTI file.

    Args:
        stored: its header as it is in the file, not mended by nibabel.
        affine: as the reader understood it, ``_ijk`` to ``_ras`` mm.
        shape_ijk: of the scan.
    """
    i, j, k = shape_ijk
    place = nifti_place.stored_place(stored)
    return ScanAffine(affine, SourceGeometry((i, j, k), nifti=place) if nifti_place.is_sound(place) else None)


def of_series(affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """The affine of a DICOM series, which ITK shows upright also where the gantry was tilted."""
    return shown_at(orthogonal(affine), affine, shape_ijk)


def shown_at(shown: Float[np.ndarray, "4 4"], affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """The affine of a scan that ITK shows elsewhere: it passes over the unit of length of a NRRD, for one."""
    i, j, k = shape_ijk
    return ScanAffine(affine, SourceGeometry((i, j, k), shown=shown))


def source_of(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> SourceGeometry | None:
    """The file that an affine came from, if it is one with this shape."""
    source = affine.source if isinstance(affine, ScanAffine) else None
    return source if source is not None and source.shape_ijk == tuple(shape_ijk) else None


def orthogonal(affine: Num[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The nearest placement of the same voxel spacing and first voxel whose axes stand at right angles.

    Where i and j already do, as in the slices of a CT, they stay and k becomes the slices' normal: this is where ITK
    shows a DICOM series of a tilted gantry. Elsewhere all axes turn as little as possible (polar decomposition).
    """
    axes, spacing = _unit_axes(affine), np.linalg.norm(affine[:3, :3], axis=0)
    if abs(axes[:, 0] @ axes[:, 1]) < ORTHOGONAL_TOLERANCE:
        normal = np.cross(axes[:, 0], axes[:, 1])
        axes[:, 2] = normal / np.linalg.norm(normal) * np.sign(normal @ axes[:, 2])
    u, _, vt = np.linalg.svd(axes)
    placed = np.array(affine, dtype=np.float64)
    placed[:3, :3] = (u @ vt) * spacing
    return placed


def _unit_axes(affine: Num[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 3"]:
    matrix = np.array(affine[:3, :3], dtype=np.float64)
    return matrix / np.linalg.norm(matrix, axis=0)


def _placed_by_itk(header: nib.Nifti1Header) -> Float[np.ndarray, "4 4"] | None:
    """ITK's own word, of a file of eight voxels with this header: its rules changed between its versions."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="medvlsam2-") as folder:
        path = Path(folder) / "place.nii"
        nifti_place.write_nifti(path, np.zeros((2, 2, 2), np.uint8), header)
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError:
            return None
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine_lps[:3, 3] = image.GetOrigin()
    return geometry.ras_to_lps_affine(affine_lps)


def place_header(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> nib.Nifti1Header:
    """Header fields that place a mask of a scan where every program places the scan.

    Those of the scan's own file where there are such, else the affine as sform and the nearest orthogonal placement
    as qform, both with code 1: ITK reads no file without an orthogonal one.
    """
    source = source_of(affine, shape_ijk)
    if source is not None and source.nifti is not None:
        header = source.nifti.copy()
        if source.itk_affine is None:
            _set_qform(header, affine)
        return header
    header = nib.Nifti1Header()
    header["xyzt_units"] = nifti_place.MILLIMETRE
    header.set_sform(np.array(affine), code=1)
    _set_qform(header, affine)
    return header


def itk_placement(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> Float[np.ndarray, "4 4"]:
    """Where ITK shows the scan that an affine came from, for formats with one transform (NRRD, MetaImage).

    The affine itself where it came from no file, or from one that ITK refuses: these formats keep also a shear.
    """
    source = source_of(affine, shape_ijk)
    placed = None if source is None else source.itk_affine
    return np.array(affine, dtype=np.float64) if placed is None else placed


def for_viewers(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> Num[np.ndarray, "4 4"]:
    """The affine of a mask for a viewer that has its scan from here, not from its file.

    A scan that ITK refuses, or shows in another size for its unit, was sent as a NIfTI, which ITK shows upright in mm.
    """
    shape = tuple(shape_ijk)
    source = source_of(affine, shape)
    if source is None:
        return affine
    placed = source.itk_affine
    of_other_size = (
        source.nifti is None
        and placed is not None
        and not np.allclose(geometry.spacing_mm(placed), geometry.spacing_mm(affine), rtol=1e-3)
    )
    return shown_at(orthogonal(affine), affine, shape) if placed is None or of_other_size else affine


def _set_qform(header: nib.Nifti1Header, affine: Num[np.ndarray, "4 4"]) -> None:
    upright = orthogonal(affine)
    upright[:3] /= nifti_place.mm_per_header_unit(header)
    header.set_qform(upright, code=1)
