"""An affine that remembers the file it came from, so that a mask on the same grid lies on the scan in every program.

A NIfTI file has up to two transforms, the sform and the qform. nibabel uses the sform; ITK (3D Slicer, ITK-SNAP,
SimpleITK) often uses the qform. ITK also shows a tilted DICOM series upright. A mask that is written with the affine
alone lies on its scan in one program and beside it in another. Therefore the affine of a scan carries the place fields
of the scan's header, and the writers copy these fields. An array that is computed from the affine, also a copy, carries
no fields.
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
"""Largest cosine between two axes that count as orthogonal: a tenth of what ITK allows (about 1e-4)."""


@dataclass(frozen=True, eq=False)
class SourceGeometry:
    """The description of a scan's place in its file.

    Args:
        shape_ijk: voxels of the scan along i, j and k.
        nifti: place fields of the file's header; None if the file is no NIfTI.
        shown: affine with which ITK shows a scan of another format, ``_ijk`` to ``_ras`` mm; None for NIfTI.
    """

    shape_ijk: tuple[int, int, int]
    nifti: nib.Nifti1Header | None = None
    shown: Float[np.ndarray, "4 4"] | None = None

    @cached_property
    def itk_affine(self) -> Float[np.ndarray, "4 4"] | None:
        """Affine with which ITK shows the scan, ``_ijk`` to ``_ras`` mm; None if ITK refuses the file."""
        return self.shown if self.nifti is None else _placed_by_itk(self.nifti)

    @cached_property
    def other_affines(self) -> tuple[Float[np.ndarray, "4 4"], ...]:
        """Other affines with which programs show the scan: ITK's, the sform and the qform.

        If the header has another unit than mm, the sform and the qform occur twice: in the header's unit, and read as
        mm, because many programs ignore the unit.
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
    """A read-only 4x4 affine with the description of the file that it was read from.

    Example:
        >>> affine = ScanAffine(np.eye(4), SourceGeometry((4, 5, 6)))
        >>> affine.source.shape_ijk, (affine @ affine).source
        ((4, 5, 6), None)
    """

    source: SourceGeometry | None

    def __new__(cls, affine: Float[np.ndarray, "4 4"], source: SourceGeometry | None) -> ScanAffine:
        """Copy an affine and attach the description of its file."""
        made = np.array(affine, dtype=np.float64).view(cls)
        made.source = source
        made.flags.writeable = False
        return made

    def __array_finalize__(self, _: Any) -> None:
        self.source = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ScanAffine, (np.array(self), self.source)


def of_nifti(stored: nib.Nifti1Header, affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """Return the affine of a scan in a NIfTI file.

    Args:
        stored: header as it is in the file, without nibabel's corrections.
        affine: affine that the reader found, ``_ijk`` to ``_ras`` mm.
        shape_ijk: shape of the scan.
    """
    i, j, k = shape_ijk
    place = nifti_place.stored_place(stored)
    return ScanAffine(affine, SourceGeometry((i, j, k), nifti=place) if nifti_place.is_sound(place) else None)


def of_series(affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """Return the affine of a DICOM series. ITK shows the series upright also if the gantry was tilted."""
    return shown_at(orthogonal(affine), affine, shape_ijk)


def shown_at(shown: Float[np.ndarray, "4 4"], affine: Float[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> ScanAffine:
    """Return the affine of a scan that ITK shows with another affine, e.g. because ITK ignores a NRRD's unit."""
    i, j, k = shape_ijk
    return ScanAffine(affine, SourceGeometry((i, j, k), shown=shown))


def source_of(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> SourceGeometry | None:
    """Return the description of the file that an affine came from; None without one or for a file of another shape."""
    source = affine.source if isinstance(affine, ScanAffine) else None
    return source if source is not None and source.shape_ijk == tuple(shape_ijk) else None


def orthogonal(affine: Num[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return the nearest affine with orthogonal axes, with the same voxel spacing and the same first voxel.

    If i and j are already orthogonal, as in the slices of a CT, they are kept and k becomes the normal of the slices.
    ITK shows a DICOM series of a tilted gantry in this way. Otherwise all axes are rotated by the smallest possible
    amount (polar decomposition).
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
    """Return the affine that ITK reads from a file of eight voxels with this header; None if ITK refuses the file.

    ITK itself is asked, because its rules changed between its versions.
    """
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
    """Return a header whose place fields put a mask where every program puts its scan.

    These are the place fields of the scan's own file, if it is a NIfTI. Otherwise the affine becomes the sform and the
    nearest orthogonal affine becomes the qform, both with code 1, because ITK reads no file without an orthogonal
    transform.
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
    """Return the affine with which ITK shows the scan, for formats with one transform (NRRD, MetaImage).

    This is the given affine if it came from no file or from a file that ITK refuses; these formats can hold a shear.
    """
    source = source_of(affine, shape_ijk)
    placed = None if source is None else source.itk_affine
    return np.array(affine, dtype=np.float64) if placed is None else placed


def for_viewers(affine: Num[np.ndarray, "4 4"], shape_ijk: Iterable[int]) -> Num[np.ndarray, "4 4"]:
    """Return the affine of a mask for a viewer that got the scan from this server (``scan_download``).

    A scan that ITK refuses, or shows in another size because of its unit, was sent as a NIfTI file, which ITK shows
    upright and in mm. The mask must lie on that NIfTI file.
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
