"""The result of each object of a request, from its masks and its voxels in the label map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8

from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import spacing_mm, voxel_volume_ml
from medvlsam2.tasks.answers.geometry import held_slices, slice_sureness, sureness
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.measure.masks.diameter import longest_diameter_mm
from medvlsam2.tasks.prompts import ObjectPrompt


@dataclass(frozen=True)
class ObjectResult:
    """What was found for one prompt."""

    name: str
    present: bool
    """False: the model says that it is not in this scan."""
    confidence: float
    """0..1, how sure the model is that the object is present, or absent, as ``present`` says; calibrated for words."""
    volume_ml: float
    diameter_mm: float
    """Longest diameter on one slice."""
    slice_confidence: dict[int, float]
    """Object score x predicted IoU of each slice that holds the object, by index along the scan's own slice axis."""
    slice_to_fix: int | None
    """The slice where the next correction helps most: the least sure one of those without a prompt."""
    recognised_as: str | None = None
    """Name of the structure that a box without words was taken to be drawn round."""
    sureness: float = 0.0
    """Mean over the object's slices of object score x predicted IoU, not calibrated."""
    understood_as: str | None = None
    """What a phrase means in plain English; None for a name of the vocabulary and for what is only pointed at."""
    expression: str | None = None
    """What it means in the query language (``data.query``)."""
    reason: str = ""
    """One sentence: why a composed object is not found, or not surely."""
    values: tuple[int, ...] = ()
    """Values of the label map that make up the object: its own, and those of its parts that were asked for too."""


@dataclass(frozen=True)
class Voxels:
    """A label map, to count and measure values in it."""

    volume: CTVolume
    label_map: UInt8[np.ndarray, "i j k"]
    slice_axis: int

    def of(self, values: Sequence[int]) -> Iterator[Bool[np.ndarray, "h w"]]:
        """The mask of some values, slice by slice."""
        slices = np.moveaxis(self.label_map, self.slice_axis, 0)
        return (one == values[0] if len(values) == 1 else np.isin(one, values) for one in slices)

    def measured(self, result: ObjectResult, values: Sequence[int]) -> ObjectResult:
        """The result with presence, volume and diameter of the voxels that have one of these values."""
        voxels = sum(int(np.count_nonzero(one)) for one in self.of(values))
        height_mm, width_mm = np.delete(spacing_mm(self.volume.affine), self.slice_axis).tolist()
        return replace(
            result,
            present=voxels > 0,
            volume_ml=voxels * voxel_volume_ml(self.volume.affine),
            diameter_mm=longest_diameter_mm(self.of(values), (height_mm, width_mm)),
            values=tuple(values),
        )


def result_of(prompt: ObjectPrompt, found: Found, voxels: Voxels, values: Sequence[int]) -> ObjectResult:
    """The result of an object that was searched for.

    Args:
        prompt: as it was asked for.
        found: its masks.
        voxels: the label map.
        values: in the label map, the object's own first.
    """
    record, masks = found.record, found.masks
    holds = held_slices(masks)
    sure = slice_sureness(masks)
    open_to_doubt = [d for d in holds if d not in masks.conditioning_slices]
    told = ObjectResult(
        name=prompt.display_name,
        present=False,
        confidence=0.0,
        volume_ml=0.0,
        diameter_mm=0.0,
        slice_confidence={record.source_slice(d): float(sure[d]) for d in holds},
        slice_to_fix=(record.source_slice(min(open_to_doubt, key=lambda d: float(sure[d]))) if open_to_doubt else None),
    )
    told = voxels.measured(told, values)
    sure_of_it = sureness(masks)
    return replace(told, confidence=sure_of_it if told.present and holds else absence_of(found), sureness=sure_of_it)


def absence_of(found: Found) -> float:
    """How sure the model's own scores are that an object is absent, 0..1; not calibrated."""
    return float(1 - found.masks.object_score_logits.float().sigmoid().max())


def unsure(result: ObjectResult, voxels: Voxels) -> ObjectResult:
    """The result of an object that was marked by brightness: confidence 0, its middle slice to be checked first."""
    held = [number for number, one in enumerate(voxels.of(result.values)) if one.any()]
    return replace(
        result,
        confidence=0.0,
        slice_confidence=dict.fromkeys(held, 0.0),
        slice_to_fix=held[len(held) // 2] if held else None,
    )


def union_of(name: str, parts: Sequence[ObjectResult], voxels: Voxels, values: Sequence[int]) -> ObjectResult:
    """The result of a whole that is the union of its parts: their confidence, weighted by volume.

    Args:
        name: of the whole.
        parts: the results of the parts.
        voxels: the label map.
        values: of the parts.
    """
    seen = [part for part in parts if part.present] or list(parts)
    weights = [max(part.volume_ml, 1e-6) for part in seen]
    by_slice: dict[int, float] = {}
    for number, sure in _by_slice(seen):
        by_slice[number] = min(sure, by_slice.get(number, 1.0))
    whole = ObjectResult(
        name=name,
        present=False,
        confidence=float(np.average([part.confidence for part in seen], weights=weights)),
        sureness=float(np.average([part.sureness for part in seen], weights=weights)),
        volume_ml=0.0,
        diameter_mm=0.0,
        slice_confidence=dict(sorted(by_slice.items())),
        slice_to_fix=min(by_slice, key=lambda number: by_slice[number]) if by_slice else None,
    )
    return voxels.measured(whole, values)


def _by_slice(parts: Sequence[ObjectResult]) -> Iterator[tuple[int, float]]:
    for part in parts:
        told: Mapping[int, float] = part.slice_confidence
        yield from told.items()
