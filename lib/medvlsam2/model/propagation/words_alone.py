"""Objects asked for by words alone, of a model whose mask decoder has no say in them.

Calibration may find that the mask decoder adds nothing to the similarity of words and pixels where nothing is pointed
at (``training/calibrate.py``), as small models have it. What memory and decoder would say then reaches no mask, so
neither is run: the slices are compared with the words many at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from jaxtyping import Float
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch import Tensor

from medvlsam2.model.device.memory_limit import in_parts
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity, evidence
from medvlsam2.model.propagation.object_query import (
    Lease,
    ObjectMasks,
    ObjectQuery,
    Shown,
)
from medvlsam2.model.propagation.slice_source import SliceSource

SLICES: Final = 16
"""Slices that are compared at once …"""
OBJECTS: Final = 16
"""… with the words of so many objects."""
STABILITY_OFFSET: Final = 1.0
"""How far the threshold moves when a mask's stability is measured (segment-anything: ``SamAutomaticMaskGenerator``)."""


@torch.no_grad()
def find_by_words(
    similarity: TextSimilarity,
    features: SliceSource,
    queries: Mapping[int, ObjectQuery],
    results: Sequence[ObjectMasks],
    *,
    stride: int,
    lease: Lease,
    shown: Shown | None,
) -> None:
    """Fill in the masks of some objects.

    Args:
        similarity: the model's comparison of words with pixels.
        features: features of all slices of the volume.
        queries: what to look for, by its number among the results; each has a text token.
        results: masks of all objects of the request.
        stride: distance of the slices that are looked at first; then come all slices between those that show the
            object, and those next to them.
        lease: entered for each step, so that others can use the device in between.
        shown: told of each slice that is done.
    """
    comparison = _Comparison(similarity, features, queries, results, lease, shown)
    spans = {number: query.span(len(features)) for number, query in queries.items()}
    comparison.on({number: span[::stride] for number, span in spans.items()})
    comparison.on({number: _rest(results[number], span, stride) for number, span in spans.items()})


def stability(logits: Float[Tensor, "*b m m"]) -> Float[Tensor, " *b"]:
    """How little masks change with their threshold: overlap of the one at a higher with that at a lower; 0..1.

    Reference: segment-anything: segment_anything/utils/amg.py (calculate_stability_score).
    """
    held, reached = ((logits > offset).flatten(-2).sum(dim=-1) for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
    return held / reached.clamp(min=1)


@dataclass(frozen=True)
class _Comparison:
    """The objects of a request, and where they are looked for."""

    similarity: TextSimilarity
    features: SliceSource
    queries: Mapping[int, ObjectQuery]
    results: Sequence[ObjectMasks]
    lease: Lease
    shown: Shown | None

    def on(self, wanted: Mapping[int, Collection[int]]) -> None:
        """Compare each object with some slices."""
        in_parts(partial(self._together, wanted), list(wanted), OBJECTS)

    def _together(self, wanted: Mapping[int, Collection[int]], objects: Sequence[int]) -> None:
        slices = sorted({slice_number for number in objects for slice_number in wanted[number]})
        for start in range(0, len(slices), SLICES):
            part = slices[start : start + SLICES]
            asked = [number for number in objects if any(slice_number in wanted[number] for slice_number in part)]
            with self.lease():
                found = self._compare(asked, part)
            for row, number in enumerate(asked):
                for column, slice_number in enumerate(part):
                    if slice_number in wanted[number]:
                        self._put(number, slice_number, found, (column, row))

    def _compare(self, objects: Sequence[int], slices: Sequence[int]) -> _Compared:
        tokens = torch.stack([token for n in objects if (token := self.queries[n].text_token) is not None])
        part = self.features.select(torch.tensor(slices, device=self.features.device))
        maps = self.similarity.of_all(tokens, part.levels).float()
        scores = evidence(maps.flatten(0, 1)[:, None]).reshape(maps.shape[:2]) + self.similarity.evidence_bias
        shown = torch.where(scores[..., None, None] > 0, maps + self.similarity.words_bias, NO_OBJ_SCORE)
        return _Compared(shown, scores, stability(shown))

    def _put(self, number: int, slice_number: int, found: _Compared, at: tuple[int, int]) -> None:
        result = self.results[number]
        result.mask_logits[slice_number] = found.mask_logits[at]
        result.object_score_logits[slice_number] = found.object_score_logits[at]
        result.iou[slice_number] = found.stability[at]
        if self.shown is not None:
            self.shown(number, slice_number, result)


@dataclass(frozen=True)
class _Compared:
    """Some objects on some slices."""

    mask_logits: Float[Tensor, "n k m m"]
    object_score_logits: Float[Tensor, "n k"]
    stability: Float[Tensor, "n k"]


def _rest(result: ObjectMasks, span: range, stride: int) -> Collection[int]:
    """Slices that were left out between those that show the object, and next to the outermost of them."""
    scores = result.object_score_logits.tolist()
    present = [number for number in span[::stride] if scores[number] > 0]
    if not present:
        return ()
    start, stop = max(span.start, present[0] - stride), min(span.stop, present[-1] + stride + 1)
    return set(range(start, stop)) - set(span[::stride])
