"""From mask logits on the model's slices to one label map on exactly the scan's grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from mmap import ACCESS_COPY, mmap

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from medvlsam2.errors import GeometryMismatch
from medvlsam2.transforms.spatial import SpatialRecord


def label_map_to_source(
    found: Sequence[tuple[Float[Tensor, "d m m"], SpatialRecord]], hu: Num[np.ndarray, "i j k"]
) -> UInt8[np.ndarray, "i j k"]:
    """One label map of several objects on exactly the scan's grid: value n where object n is likeliest.

    Args:
        found: mask logits of each object, all on one device, and the view in which they were found; all views have
            the same slices.
        hu: the scan, whose edges the masks follow (:func:`medvlsam2.transforms.guided.guided_upsample`).

    Raises:
        GeometryMismatch: if the number of slices is not the scan's.
    """
    first = found[0][1]
    oriented = first.orient(hu)
    for logits, record in found:
        if len(logits) != record.num_slices:
            raise GeometryMismatch(
                f"Mask logits have {len(logits)} slices, the scan has {record.num_slices} along its slice axis."
            )
    label_map = _empty_label_map(first.oriented_shape_dhw)
    device = found[0][0].device
    best = torch.zeros(first.oriented_shape_dhw[1:], device=device)
    held = [(logits > 0).flatten(1).any(dim=1).cpu() for logits, _ in found]
    for d in torch.nonzero(torch.stack(held).any(dim=0)).flatten().tolist():
        best.zero_()
        slice_hu = torch.from_numpy(oriented[d].astype(np.float32)).to(device)
        for value, ((logits, record), holds) in enumerate(zip(found, held, strict=True), start=1):
            if holds[d]:
                label_map[d][record.paste(logits[d], slice_hu, best).cpu().numpy()] = value
    return first.unorient(label_map)


def _empty_label_map(shape_dhw: tuple[int, int, int]) -> UInt8[np.ndarray, "d h w"]:
    """Zeros of which only pages that hold an object take memory: NumPy's own come in huge pages, which all fill."""
    return np.frombuffer(mmap(-1, prod(shape_dhw), access=ACCESS_COPY), dtype=np.uint8).reshape(shape_dhw)
