"""Finds the objects of a request in one view or several: whole slices, nearer views of small objects, coronal slices.

An object of a few pixels is coarse on the mask grid and far from most of what the slice encoder was trained on. So a
part of each slice round such an object is segmented again, enlarged: a nearer view
(:mod:`medvlsam2.tasks.masks.parts` chooses the part). An object that its box shows to be small is segmented in the
nearer view alone; where words or clicks found it to be small, the result is the mean of both views. The coronal view
(test-time augmentation) is fused with the axial one in three dimensions; it is for models that were trained on coronal
slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jaxtyping import Float
from torch import Tensor

from medvlsam2.data.structures.table import Window
from medvlsam2.model.device.memory_limit import batches
from medvlsam2.model.propagation.object_query import (
    EMPTY_LOGIT,
    Lease,
    ObjectMasks,
    ObjectQuery,
    Shown,
)
from medvlsam2.model.propagation.propagate import BATCH
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.masks.click_correction import heed_clicks
from medvlsam2.tasks.masks.corrected_masks import find_masks
from medvlsam2.tasks.masks.extents import box_extent, extent
from medvlsam2.tasks.masks.parts import clicked_middle_hw, part_round
from medvlsam2.tasks.masks.slice_prompts import PlacedPrompt
from medvlsam2.transforms.regrid import regrid
from medvlsam2.transforms.spatial import Edges, SpatialRecord

SEED_STRIDE_MM: Final = 3.0
"""Words alone are tried on slices about this far apart."""
FURTHER_SLICES: Final = 3
"""A clicked object may be longer by so many slices in its nearer view than in the view of the whole slices."""


@dataclass(frozen=True)
class Wanted:
    """One object of a request."""

    placed: PlacedPrompt
    text_token: Float[Tensor, " c"] | None


@dataclass(frozen=True)
class Found:
    """What was found of it, and in which view."""

    masks: ObjectMasks
    view: View

    @property
    def record(self) -> SpatialRecord:
        """How the scan's voxels map to the pixels of that view."""
        return self.view.record

    @property
    def is_anywhere(self) -> bool:
        """Whether anything was found."""
        return bool((self.masks.mask_logits > 0).any())


@dataclass(frozen=True)
class _Aim:
    """An object as it is asked for in one view."""

    view: View
    query: ObjectQuery


@dataclass(frozen=True)
class Search:
    """One request in one window.

    Args:
        session: the scan.
        window: in which it is looked at.
        wanted: what to look for.
        lease: entered for each step, so that others can use the device in between.
        shown: told of each slice of the first view that is done.
    """

    session: VolumeSession
    window: Window
    wanted: Sequence[Wanted]
    lease: Lease
    shown: Shown

    def find(self, *, across: bool) -> list[Found]:
        """Masks of all objects on every slice.

        Args:
            across: whether coronal slices are segmented as well.
        """
        whole = self.session.whole
        aims = {number: _Aim(whole, _query(whole, one)) for number, one in enumerate(self.wanted)}
        side = whole.sam2.mask_size
        edges = {number: box_extent(aim.query, side, whole.record.side) for number, aim in aims.items()}
        near = {
            number: aim
            for number, one in edges.items()
            if one is not None and (aim := self._nearer(self.wanted[number], one, None)) is not None
        }
        # The first pass: whole slices, or the nearer view at once where a box shows that the object is small.
        results = self._segment(aims | near, self.shown)
        self._add_nearer_views(results, {number: aim.query for number, aim in aims.items() if number not in near})
        if across:
            self._add_coronal_view(results)
        return [results[number] for number in range(len(self.wanted))]

    def _add_nearer_views(self, results: dict[int, Found], queries: dict[int, ObjectQuery]) -> None:
        side = self.session.whole.record.side
        for some in batches(list(queries), BATCH):
            near: dict[int, _Aim] = {}
            for number in some:
                edges = extent(results[number].masks)
                aim = self._nearer(self.wanted[number], edges, clicked_middle_hw(queries[number], side))
                if aim is not None:
                    near[number] = replace(aim, query=_limited(aim.query, edges[0]))
            for number, found in self._segment(near, None, seeds_mm=0.0).items():
                if self._fuse(found, results[number]):
                    results[number] = found
                    self._heed(found, near[number].query)

    def _add_coronal_view(self, results: dict[int, Found]) -> None:
        """Fuse what coronal slices show; not for edited masks, which are axial slices, nor where nothing was found."""
        view = self.session.coronal
        numbers = [n for n, one in enumerate(self.wanted) if results[n].is_anywhere and one.placed.prompt.mask is None]
        for some in batches(numbers, BATCH):
            aims = {number: _Aim(view, _query(view, self.wanted[number])) for number in some}
            for number, found in self._segment(aims, None).items():
                query = _near_query(results[number].view, self.wanted[number])
                if query is not None and self._fuse(results[number], found):
                    self._heed(results[number], query)

    def _nearer(self, wanted: Wanted, edges: Edges, clicked_hw: tuple[float, float] | None) -> _Aim | None:
        """A small object in a part of the slices; None for what is not small."""
        whole = self.session.whole
        crop = part_round(whole.record, edges, whole.sam2.mask_size, clicked_hw)
        if crop is None:
            return None
        view = self.session.near(crop)
        query = _near_query(view, wanted)
        return None if query is None else _Aim(view, query)

    def _fuse(self, kept: Found, other: Found) -> bool:
        """Replace the logits of ``kept`` by the mean of both views on its grid; False where the mean leaves nothing.

        Logits are clamped first, so that no view outvotes the other by being very sure. A mean without any pixel means
        that the views show different places: then ``kept`` is not changed.
        """
        if not any(bool((mean > 0).any()) for _, mean in _means(kept, other)):
            return False
        for part, mean in _means(kept, other):
            kept.masks.mask_logits[part] = mean
        return True

    def _heed(self, found: Found, query: ObjectQuery) -> None:
        """Correct the mean where it contradicts a click; the masks of which it is the mean were corrected before."""
        heed_clicks(found.masks, found.view.features(self.window), query, found.record, lease=self.lease)

    def _segment(
        self, aims: dict[int, _Aim], shown: Shown | None, *, seeds_mm: float = SEED_STRIDE_MM
    ) -> dict[int, Found]:
        """Masks of objects, each in its view; all views must have the same slices."""
        if not aims:
            return {}
        numbers = list(aims)

        def tell(query: int, slice_number: int, masks: ObjectMasks) -> None:
            if shown is not None:
                shown(numbers[query], slice_number, masks)

        views, queries = [aim.view for aim in aims.values()], [aim.query for aim in aims.values()]
        stride = max(1, round(seeds_mm / views[0].record.slice_spacing_mm))
        masks = find_masks(views, self.window, queries, stride=stride, lease=self.lease, shown=tell)
        return {number: Found(one, view) for number, one, view in zip(numbers, masks, views, strict=True)}


def _query(view: View, wanted: Wanted) -> ObjectQuery:
    return wanted.placed.in_view(view).query(wanted.text_token)


def _near_query(view: View, wanted: Wanted) -> ObjectQuery | None:
    """The query in a nearer view, without clicks beside the object that lie outside; None where one on it does."""
    query = _query(view, wanted)
    prompts = {number: prompt.inside(view.record.side) for number, prompt in query.prompts.items()}
    if None in prompts.values():
        return None
    corrections = {number: prompt.inside(view.record.side) for number, prompt in query.corrections.items()}
    return replace(
        query,
        prompts={number: prompt for number, prompt in prompts.items() if prompt is not None},
        corrections={number: prompt for number, prompt in corrections.items() if prompt and prompt.point_labels},
    )


def _limited(query: ObjectQuery, found_slices: tuple[float, float]) -> ObjectQuery:
    """The query for the nearer view, on the slices of the first view only: the mean on a slice needs both views.

    A clicked object may be a little longer, and reaches as far as its clicks; a box keeps its own limits.
    """
    first, last = int(found_slices[0]), int(found_slices[1]) - 1
    if not query.is_pointed:
        return replace(query, first_slice=first, last_slice=last)
    if query.box_xyxy is not None:
        return query
    first = max(query.first_slice, min(first - FURTHER_SLICES, *query.prompts))
    return replace(query, first_slice=first, last_slice=max(last + FURTHER_SLICES, *query.prompts))


def _means(kept: Found, other: Found) -> Iterator[tuple[slice, Float[Tensor, "n m m"]]]:
    """Mean logits of both views on the grid of ``kept``, some slices at a time, since whole scans take much memory."""
    logits = kept.masks.mask_logits
    seen = regrid(other.masks.mask_logits, other.record, kept.record, outside=EMPTY_LOGIT, limit=-EMPTY_LOGIT)
    return ((part, (there + logits[part].clamp(EMPTY_LOGIT, -EMPTY_LOGIT)) / 2) for part, there in seen)
