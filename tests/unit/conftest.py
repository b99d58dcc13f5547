"""A small marked scan and a DICOM series made of it, for the tests of readers and geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity


def rotation(angles_rad: tuple[float, float, float]) -> np.ndarray:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@pytest.fixture
def oblique_affine() -> np.ndarray:
    """Anisotropic, turned about all axes and mirrored (L, P, S like most CT), far from the origin."""
    affine = np.eye(4)
    affine[:3, :3] = rotation((0.2, -0.15, 0.3)) @ np.diag([-0.7, -0.9, 2.5])
    affine[:3, 3] = (101.25, -40.5, 333.125)
    return affine


@pytest.fixture
def small_hu() -> np.ndarray:
    """An odd-sized scan of 5 x 7 x 9 voxels, each with a value of its own that CT could have."""
    return np.linspace(-1000, 400, 5 * 7 * 9).astype(np.int16).reshape(5, 7, 9)


SeriesWriter = Callable[..., list[Path]]


@pytest.fixture
def write_series(small_hu: np.ndarray) -> SeriesWriter:
    """Write a scan as a DICOM series; returns its files in the order of their place."""

    def write(
        folder: Path,
        hu: np.ndarray = small_hu,
        *,
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        first_lps: tuple[float, float, float] = (-10.0, -20.0, 30.0),
        step_lps: tuple[float, float, float] = (0.0, 0.0, 2.5),
        skip: tuple[int, ...] = (),
        modality: str = "CT",
        slope: float = 1.0,
        intercept: float = -1024.0,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        series_uid = generate_uid()
        order = np.random.default_rng(3).permutation(hu.shape[2])
        paths = []
        for k in range(hu.shape[2]):
            if k in skip:
                continue
            dataset = ct_slice(np.round((hu[:, :, k].T - intercept) / slope).astype(np.int16), series_uid)
            dataset.Modality = modality
            dataset.ImagePositionPatient = [round(p + k * s, 6) for p, s in zip(first_lps, step_lps, strict=True)]
            dataset.ImageOrientationPatient = [round(value, 9) for value in orientation]
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
            path = folder / f"{series_uid[-6:]}_{order[k]:03d}.dcm"
            pydicom.dcmwrite(path, dataset, write_like_original=False)
            paths.append(path)
        return paths

    return write


def ct_slice(stored: np.ndarray, series_uid: str) -> FileDataset:
    """One CT slice without its place; rows are 0.9 mm, columns 0.7 mm apart."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = "1.2.3"
    dataset.SeriesInstanceUID = series_uid
    dataset.PatientName, dataset.PatientID = "Secret^Name", "SECRET-ID"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelSpacing = [0.9, 0.7]
    dataset.SliceThickness = 2.5
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = stored.tobytes()
    return dataset


@pytest.fixture
def similarity() -> TextSimilarity:
    """Of features planted in the finest of 32 channels: logit 5 where that of the token's number is 1, else -5."""
    from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity

    similarity = TextSimilarity(32)
    with torch.no_grad():
        for layer in (similarity.to_embedding, similarity.to_high_res_1, similarity.to_high_res_0):
            layer.weight.zero_()
            layer.bias.zero_()
        similarity.to_high_res_0.weight[:2, :2] = 10 * torch.eye(2) * 4**0.5
        similarity.mask_bias.fill_(-5.0)
        similarity.score_bias.fill_(-1.0)
    return similarity
