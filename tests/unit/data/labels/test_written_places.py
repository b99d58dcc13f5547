"""Every written file lies on its scan where ITK (3D Slicer, ITK-SNAP, SimpleITK) shows the scan."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.label_maps import read_label_map, write_label_map
from medvlsam2.data.labels.placing import on_scan_grid
from medvlsam2.data.readers import read_stored, read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.data.volume_files import write_volume

AFFINE = np.array([[-4.0, 0, 0, 90], [0, -4.0, 0, 95], [0, 0, 5.0, -300], [0, 0, 0, 1]])
SHAPE = (12, 10, 8)
MASKS = ("mask.nii.gz", "mask.nii", "mask.nrrd", "mask.seg.nrrd")
EXACT_MM = 1e-3


def elsewhere(moved_mm: tuple[float, float, float] = (30, -20, 40), turned: float = 0.0) -> np.ndarray:
    """Return the usual affine at another place, rotated about z by an angle."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]]
    affine = turn @ AFFINE
    affine[:3, 3] += moved_mm
    return affine


def sheared(drift: float) -> np.ndarray:
    """Return an affine in which every slice lies this many mm farther to the right than the slice before."""
    affine = AFFINE.copy()
    affine[0, 2] = drift
    return affine


def nifti_scan(
    path: Path,
    *,
    sform: np.ndarray = AFFINE,
    qform: np.ndarray = AFFINE,
    codes: tuple[int, int] = (1, 1),
    units: int = 2,
    pixdim: tuple[float, ...] | None = None,
    header: Any = nib.Nifti1Header,
) -> Path:
    """A scan whose header is written field by field, so that no library makes it consistent."""
    hu = np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16)
    made = header()
    made.set_data_dtype(hu.dtype)
    made.set_data_shape(hu.shape)
    made.set_qform(qform, codes[1], strip_shears=True)
    made.set_sform(sform if codes[0] else np.zeros((4, 4)), codes[0])
    made["xyzt_units"], made["scl_slope"], made["scl_inter"] = units, 1, 0
    made["magic"] = b"n+1" if header is nib.Nifti1Header else b"n+2\0\r\n\x1a\n"
    made["vox_offset"] = int(made["sizeof_hdr"]) + 4
    if pixdim is not None:
        made["pixdim"][1:4] = pixdim
    path.write_bytes(gzip.compress(made.binaryblock + bytes(4) + hu.tobytes(order="F")))
    return path


def corners(image: Path | sitk.Image) -> np.ndarray:
    """Return the positions of the corner voxels in ITK, in LPS mm."""
    image = sitk.ReadImage(str(image)) if isinstance(image, Path) else image
    last = np.array(image.GetSize()) - 1
    ends = [[float(x) for x in np.array(end) * last] for end in np.ndindex(2, 2, 2)]
    return np.array([image.TransformContinuousIndexToPhysicalPoint(end) for end in ends])


def gap_mm(one: Path | sitk.Image, other: Path | sitk.Image) -> float:
    return float(np.linalg.norm(corners(one) - corners(other), axis=1).max())


def write_all(folder: Path, volume: CTVolume) -> list[Path]:
    """Write every kind of file that the product writes on a scan's grid."""
    mask = np.zeros(volume.shape_ijk, np.uint8)
    mask[2:5, 3:6, 1:4] = 1
    for name in MASKS:
        write_label_map(folder / name, mask, volume.affine, {1: "liver"})
    write_volume(folder / "export.nii.gz", volume)
    return [folder / name for name in (*MASKS, "export.nii.gz")]


NIFTI_HEADERS: dict[str, dict[str, Any]] = {
    "both alike": {},
    "aligned sform, scanner qform elsewhere": {"codes": (2, 1), "qform": elsewhere()},
    "scanner sform, aligned qform elsewhere": {"codes": (1, 2), "qform": elsewhere()},
    "template sform, qform turned": {"codes": (4, 1), "qform": elsewhere(turned=0.3)},
    "mirrored": {"codes": (2, 1), "qform": AFFINE @ np.diag([-1.0, 1, 1, 1])},
    "no codes": {"codes": (0, 0)},
    "sform alone": {"codes": (1, 0), "qform": np.eye(4)},
    "qform alone": {"codes": (0, 1)},
    "voxel sizes 0": {"codes": (1, 0), "pixdim": (0, 0, 0)},
    "voxel sizes of another image": {"codes": (1, 0), "pixdim": (1, 1, 1)},
    "voxel size below 0": {"codes": (1, 1), "pixdim": (-4, 4, 5)},
    "oblique": {"sform": elsewhere(turned=0.4), "qform": elsewhere(turned=0.4)},
    "leaning sform, straight qform": {"sform": sheared(0.02), "codes": (1, 1)},
    "tilted sform, straight qform": {"sform": sheared(1.5), "codes": (1, 1)},
    "no unit": {"units": 0},
}
NOT_FOR_ITK: dict[str, dict[str, Any]] = {
    "NIfTI-2": {"codes": (2, 1), "qform": elsewhere(), "header": nib.Nifti2Header},
}


@pytest.mark.parametrize("kind", NIFTI_HEADERS)
def test_masks_and_exports_of_a_nifti_lie_on_it_in_itk(tmp_path, kind):
    scan = nifti_scan(tmp_path / "scan.nii.gz", **NIFTI_HEADERS[kind])
    volume = read_volume(scan)
    for path in write_all(tmp_path, volume):
        assert gap_mm(scan, path) < EXACT_MM, path.name
        if path.name == "export.nii.gz":
            assert np.array_equal(read_volume(path).hu, volume.hu)
        else:
            assert read_label_map(path).values.sum() == 27


@pytest.mark.parametrize("kind", NIFTI_HEADERS | NOT_FOR_ITK)
def test_a_nifti_keeps_transforms_codes_sizes_and_unit_of_its_scan(tmp_path, kind):
    scan = nifti_scan(tmp_path / "scan.nii.gz", **(NIFTI_HEADERS | NOT_FOR_ITK)[kind])
    volume = read_volume(scan)
    stored = raw_header(scan)
    for path in write_all(tmp_path, volume):
        if ".nii" in path.name:
            written = raw_header(path)
            for name in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z"):
                np.testing.assert_array_equal(written[name], stored[name].astype(np.float32), name)
            np.testing.assert_array_equal(written["pixdim"][:4], stored["pixdim"][:4].astype(np.float32))
            assert written["xyzt_units"] == stored["xyzt_units"]
            np.testing.assert_allclose(nib.load(path).affine, nib.load(scan).affine, atol=1e-4)


def raw_header(path: Path) -> Any:
    """Return the header as it is stored; nibabel's loader would correct it."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return type(nib.load(path).header).from_fileobj(file, check=False)


@pytest.mark.parametrize("drift", [1e-3, 0.02, 1.5])
def test_a_mask_of_a_scan_that_itk_refuses_is_opened_by_itk(tmp_path, drift):
    scan = nifti_scan(tmp_path / "scan.nii.gz", sform=sheared(drift), codes=(2, 0))
    volume = read_volume(scan)
    if drift > EXACT_MM:
        with pytest.raises(RuntimeError, match="orthonormal"):
            sitk.ReadImage(str(scan))
    for path in write_all(tmp_path, volume):
        # No closer than the drift over the height, for ITK shows no shear in a NIfTI.
        assert np.linalg.norm(corners(path)[0] - [-90, -95, -300]) < EXACT_MM
        assert np.linalg.norm(corners(path) - true_corners(volume), axis=1).max() <= drift * SHAPE[2] + EXACT_MM
        np.testing.assert_allclose(
            read_label_map(path).affine if "mask" in path.name else read_volume(path).affine, volume.affine, atol=1e-4
        )


def true_corners(volume: CTVolume) -> np.ndarray:
    ends = [np.array(end) * (np.array(volume.shape_ijk) - 1) for end in np.ndindex(2, 2, 2)]
    return np.array([(np.diag([-1, -1, 1, 1]) @ np.asarray(volume.affine) @ [*end, 1])[:3] for end in ends])


@pytest.mark.parametrize("drift_mm", [0.0, 0.001, 0.02, 0.6])
def test_masks_and_exports_of_a_dicom_series_lie_on_it_in_itk(tmp_path, write_series, drift_mm):
    """The last case is a gantry tilted by 13 degrees: SimpleITK shows the series and the masks upright."""
    files = write_series(tmp_path / "series", step_lps=(0.0, drift_mm, 2.5))
    series = sitk.ReadImage(list(map(str, files)))
    for path in write_all(tmp_path, read_volume(tmp_path / "series")):
        assert gap_mm(series, path) < EXACT_MM, path.name


def test_masks_and_exports_of_an_oblique_dicom_series_lie_on_it_in_itk(tmp_path, write_series):
    row, column = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    step = 2.5 * np.cross(row, column) + 0.3 * column
    files = write_series(tmp_path / "series", orientation=(*row, *column), step_lps=tuple(step))
    series = sitk.ReadImage(list(map(str, files)))
    for path in write_all(tmp_path, read_volume(tmp_path / "series")):
        assert gap_mm(series, path) < EXACT_MM, path.name


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize(("drift", "names"), [(0.0, (*MASKS, "export.nii.gz")), (1.5, ("mask.nrrd", "mask.seg.nrrd"))])
def test_masks_of_a_scan_in_a_format_with_one_transform_lie_on_it_in_itk(tmp_path, suffix, drift, names):
    """Such a format can hold a shear, which ITK shows; a NIfTI of the scan loses the shear in ITK, but opens."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-900, 300, SHAPE[::-1]).astype(np.int16))
    lps = np.diag([-1, -1, 1, 1]) @ sheared(drift)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    scan = tmp_path / f"scan{suffix}"
    sitk.WriteImage(image, str(scan))
    for path in write_all(tmp_path, read_volume(scan)):
        gap = gap_mm(scan, path)
        assert gap < EXACT_MM if path.name in names else gap < drift * SHAPE[2]


def test_a_computed_affine_or_one_of_another_shape_carries_no_header_fields(tmp_path):
    """A copied header would be wrong for voxels in another order."""
    volume = read_volume(nifti_scan(tmp_path / "scan.nii.gz", codes=(2, 1), qform=elsewhere()))
    moved = volume.affine.copy()
    moved[:3, 3] += 7
    cut = np.ones((6, 10, 8), np.uint8)
    for name, values, affine in (("moved", np.ones(SHAPE, np.uint8), moved), ("cut", cut, volume.affine)):
        write_label_map(tmp_path / f"{name}.nii.gz", values, affine, {})
        header = nib.load(tmp_path / f"{name}.nii.gz").header
        np.testing.assert_allclose(header.get_qform(), affine, atol=1e-4)
        np.testing.assert_allclose(header.get_sform(), affine, atol=1e-4)
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


def test_a_volume_keeps_its_place_on_its_way_to_another_process(tmp_path):
    scan = nifti_scan(tmp_path / "scan.nii.gz", codes=(2, 1), qform=elsewhere())
    volume = pickle.loads(pickle.dumps(read_volume(scan)))
    write_label_map(tmp_path / "mask.nrrd", np.ones(SHAPE, np.uint8), volume.affine, {})
    assert gap_mm(scan, tmp_path / "mask.nrrd") < EXACT_MM


def test_the_affine_of_a_scan_is_read_only(tmp_path):
    volume = read_volume(nifti_scan(tmp_path / "scan.nii.gz"))
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 7


@pytest.mark.parametrize("unit", ["um", "cm", "mm"])
def test_a_nrrd_in_another_unit_which_itk_passes_over(tmp_path, unit):
    """ITK shows the scan as if its unit were mm. Our mask lies on the shown scan, and a label from ITK is read."""
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.7, 0.8, 2.0]),
        "space origin": [-11.0, 22.0, 33.0],
        "space units": [unit] * 3,
    }
    hu = np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16)
    nrrd.write(str(tmp_path / "scan.nrrd"), hu, header)
    geometry = read_stored(tmp_path / "scan.nrrd", geometry_only=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 3:6, 1:4] = 1
    for name in ("mask.nrrd", "mask.seg.nrrd"):
        write_label_map(tmp_path / name, mask, geometry.affine, {1: "liver"})
        assert gap_mm(tmp_path / "scan.nrrd", tmp_path / name) < EXACT_MM
    label = sitk.GetImageFromArray(np.ascontiguousarray(mask.T))
    label.CopyInformation(sitk.ReadImage(str(tmp_path / "scan.nrrd")))
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    placed = on_scan_grid("The label", read_label_map(tmp_path / "label.nrrd"), SHAPE, geometry.affine)
    np.testing.assert_array_equal(placed.values, mask)


HOSTILE: dict[str, dict[str, float]] = {
    "a quaternion that is no number": {"quatern_b": np.nan},
    "a quaternion far too long": {"quatern_c": 50.0},
    "a quaternion a little too long": {"quatern_b": 0.0, "quatern_c": 0.0, "quatern_d": 1.0001},
    "an endless offset": {"qoffset_x": np.inf},
    "an offset beyond all scanners": {"qoffset_z": 3e38},
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("codes", [(1, 0), (2, 1)])
def test_an_invalid_second_transform_is_ignored(tmp_path, kind, codes):
    """ITK's reader never returns for some of these headers, so it is not used; the sform places the scan."""
    scan = nifti_scan(tmp_path / "scan.nii.gz", codes=codes)
    header = nib.Nifti1Header(gzip.decompress(scan.read_bytes())[:348], check=False)
    for name, number in HOSTILE[kind].items():
        header[name] = number
    scan.write_bytes(gzip.compress(header.binaryblock + gzip.decompress(scan.read_bytes())[348:]))
    geometry = read_stored(scan, geometry_only=True)
    np.testing.assert_allclose(geometry.affine, AFFINE)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 3:6, 1:4] = 1
    for name in MASKS:
        write_label_map(tmp_path / name, mask, geometry.affine, {1: "liver"})
        assert np.isfinite(corners(tmp_path / name)).all()
        placed = on_scan_grid("The label", read_label_map(tmp_path / name), SHAPE, geometry.affine)
        np.testing.assert_array_equal(placed.values, mask)


@pytest.mark.parametrize("kind", NIFTI_HEADERS | NOT_FOR_ITK)
def test_a_mask_of_this_server_is_accepted_as_a_label(tmp_path, kind):
    scan = nifti_scan(tmp_path / "scan.nii.gz", **(NIFTI_HEADERS | NOT_FOR_ITK)[kind])
    volume = read_volume(scan)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 3:6, 1:4] = 1
    for name in MASKS:
        write_label_map(tmp_path / name, mask, volume.affine, {1: "liver"})
        placed = on_scan_grid("The label", read_label_map(tmp_path / name), SHAPE, volume.affine)
        np.testing.assert_array_equal(placed.values, mask)
