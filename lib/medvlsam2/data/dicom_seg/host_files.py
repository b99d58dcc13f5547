"""SEGs that MONAI Label's own server wrote: their names went by rank, not by value.

The host gives the n-th value that has voxels the n-th name of the list that its client sent, filled or not. So with
three of Slicer's 33 names painted, a liver is "left kidney". Nothing in the file tells which names are right.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

_DESCRIPTION: Final = "MONAI Label - Image segmentation"
_ALGORITHM: Final = "MONAILABEL"
_SPLEEN: Final = "78961009"
"""The type that the host gives to every segment: SNOMED CT's spleen."""


def written_by_host(seg: Dataset) -> str | None:
    """A warning where the host's own writer made this SEG, else None.

    Args:
        seg: the data set; its header suffices.

    Returns:
        One sentence or two for the user; its names must not be trusted.
    """
    segments = list(seg.get("SegmentSequence") or ())
    by_algorithm = bool(segments) and all(str(item.get("SegmentAlgorithmName", "")) == _ALGORITHM for item in segments)
    if not by_algorithm and str(seg.get("ContentDescription", "")) != _DESCRIPTION:
        return None
    types = [code for item in segments for code in (item.get("SegmentedPropertyTypeCodeSequence") or ())]
    coded = ", and codes each as spleen" if types and all(_is_spleen(code) for code in types) else ""
    return (
        "This SEG was written by MONAI Label's own export, which names segments by their rank instead of their "
        f"value{coded}. Its {len(segments)} names may stand on wrong organs, left and right too, and are not taken "
        "over. Look at each segment, name it, and submit the label again."
    )


def _is_spleen(code: Dataset) -> bool:
    return str(code.get("CodeValue", "")) == _SPLEEN
