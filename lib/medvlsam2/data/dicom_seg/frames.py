"""Frames of a binary SEG: one bit per voxel, and one frame for each slice on which a segment has voxels.

highdicom's ``Segmentation`` is not used for the pixels, because it holds all frames as bytes before it packs them to
bits: 2 GB for sixty structures on 300 slices. This module packs eight frames at a time. Eight frames always fill
whole bytes, so the packed parts can be joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt16
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from medvlsam2.data.dicom_seg.segments import code_item
from medvlsam2.data.dicom_seg.source_slices import SourceSlice
from medvlsam2.data.vocabulary import Code

_FRAMES_AT_ONCE: Final = 8
_SEGMENTATION: Final = Code("113076", "Segmentation", "DCM")
_SOURCE_IMAGE: Final = Code("121322", "Source image for image processing operation", "DCM")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the number of its segment, the value of that segment in the label map, and the slice k."""

    segment: int
    value: int
    k: int


def frames_of(values: UInt16[np.ndarray, "i j k"], numbers: Mapping[int, int]) -> list[Frame]:
    """Return the frames that hold voxels, sorted by segment and then by slice.

    Args:
        values: the label map.
        numbers: the segment number of each value.
    """
    found = [
        Frame(numbers[value], value, k)
        for k in range(values.shape[2])
        for value in np.unique(values[:, :, k]).tolist()
        if value in numbers
    ]
    return sorted(found, key=lambda frame: (frame.segment, frame.k))


def packed(values: UInt16[np.ndarray, "i j k"], frames: Sequence[Frame]) -> bytes:
    """Return the Pixel Data: bits row by row, the first pixel in the lowest bit, without a gap between frames."""
    parts = []
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        some = frames[first : first + _FRAMES_AT_ONCE]
        bits = np.concatenate([(values[:, :, frame.k] == frame.value).T.ravel() for frame in some])
        parts.append(np.packbits(bits, bitorder="little").tobytes())
    data = b"".join(parts)
    return data + b"\0" * (len(data) % 2)


def functional_groups(frames: Sequence[Frame], slices: Sequence[SourceSlice]) -> list[Dataset]:
    """Return the per-frame functional groups: segment, position, and the scan's slice on which the frame was drawn."""
    ranks = {k: rank for rank, k in enumerate(sorted({frame.k for frame in frames}), start=1)}
    places = {k: _place(slices[k]) for k in ranks}
    groups = []
    for frame in frames:
        content, identification, group = Dataset(), Dataset(), Dataset()
        content.DimensionIndexValues = [frame.segment, ranks[frame.k]]
        identification.ReferencedSegmentNumber = frame.segment
        group.FrameContentSequence = [content]
        group.SegmentIdentificationSequence = [identification]
        group.PlanePositionSequence, group.DerivationImageSequence = places[frame.k]
        groups.append(group)
    return groups


def _place(source_slice: SourceSlice) -> tuple[list[Dataset], list[Dataset]]:
    """Return the plane position and the derivation image of the frames on one slice."""
    position, derivation = Dataset(), Dataset()
    position.ImagePositionPatient = [format_number_as_ds(float(value)) for value in source_slice.position_lps]
    image = reference(source_slice)
    image.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
    image.SpatialLocationsPreserved = "YES"
    derivation.DerivationCodeSequence = [code_item(_SEGMENTATION)]
    derivation.SourceImageSequence = [image]
    return [position], [derivation]


def reference(source_slice: SourceSlice) -> Dataset:
    """Return a reference to the instance, and in a multi-frame file to the frame, of a slice of the scan."""
    item = Dataset()
    item.ReferencedSOPClassUID = source_slice.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source_slice.header.SOPInstanceUID
    if source_slice.frame is not None:
        item.ReferencedFrameNumber = source_slice.frame
    return item
