"""Recognition of SEGs that MONAI Label's own export wrote: their segment names may be wrong.

That export gives names by rank and not by value: the n-th value with voxels gets the n-th name of the list that the
client sent, although some names of the list have no voxels. If an annotator paints three of Slicer's 33 segments, a
liver may be exported as "left kidney". Nothing in the file shows which names are right.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

_DESCRIPTION: Final = "MONAI Label - Image segmentation"
_ALGORITHM: Final = "MONAILABEL"
_SPLEEN: Final = "78961009"
"""SNOMED CT's code for spleen, which that export gives to every segment as its type."""


def written_by_host(seg: Dataset) -> str | None:
    """Return a warning if MONAI Label's own export wrote this SEG, else None.

    Args:
        seg: the data set; pixels are not needed.

    Returns:
        Sentences for the user. If there is a warning, the segment names of the SEG must not be used.
    """
    segments = list(seg.get("SegmentSequence") or ())
    by_algorithm = bool(segments) and all(str(item.get("SegmentAlgorithmName", "")) == _ALGORITHM for item in segments)
    if not by_algorithm and str(seg.get("ContentDescription", "")) != _DESCRIPTION:
        return None
    types = [code for item in segments for code in (item.get("SegmentedPropertyTypeCodeSequence") or ())]
    coded = ", and codes each as spleen" if types and all(_is_spleen(code) for code in types) else ""
    return (
        "This SEG was written by MONAI Label's own export, which names segments by their rank instead of their "
        f"value{coded}. Its {len(segments)} names may stand on wrong organs or on the wrong side and are not used. "
        "Look at each segment, name it, and submit the label again."
    )


def _is_spleen(code: Dataset) -> bool:
    return str(code.get("CodeValue", "")) == _SPLEEN
