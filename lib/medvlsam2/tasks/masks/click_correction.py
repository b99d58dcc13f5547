"""Clicks are hard constraints: a Gaussian-process correction of the mask logits round clicks that they contradict.

A click says more than what its own voxel is: pixels nearby that look like it are corrected with it. So the mask logits
are the prior mean of a Gaussian process, and the clicks are its observations. The covariance of two places falls with
their distance and with the difference of the slice encoder's features there. The posterior mean is the answer, in
closed form: prior + covariance(pixels, clicks) (covariance(clicks, clicks) + noise)⁻¹ (what is missing at the clicks).

Clicks that the masks agree with change nothing. The order of the clicks does not matter, and taking a click back gives
the mask of before. Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning, section 2.7 (a process
with a mean function of its own).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from medvlsam2.model.device.precision import full_precision
from medvlsam2.model.propagation.object_query import (
    Lease,
    ObjectMasks,
    ObjectQuery,
    within,
)
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.pixel_grid import normalised, rescaled
from medvlsam2.tasks.masks.extents import box_extent, extent
from medvlsam2.transforms.spatial import SpatialRecord

MARGIN: Final = 1.5
"""After the correction the mask logit at a click is at least this far on the click's side of 0."""
SURENESS: Final = 3.0
"""Logits are squeezed to this range first: against a logit of 10 a click could not change any pixel but its own."""
REACH: Final = 0.4
"""Standard deviation of a click's reach along each axis, as a part of the object's size along it …"""
MIN_REACH_MM: Final = 8.0
"""… and at least this length."""
UNLIKENESS: Final = 0.7
"""Difference of features, summed over three resolutions, at which a click's reach has fallen to 0.6 of itself."""
NOISE: Final = 0.01
"""Variance of an observation: with 0, two clicks on one voxel would make the system of equations singular."""
FARTHEST: Final = 3.0
"""Standard deviations beyond which a click reaches nothing."""
SLICES: Final = 4
"""At most so many slices are corrected at once, since all their features are in memory as floats …"""
AT_ONCE: Final = 2**23
"""… and at most so many covariances of clicks with pixels (32 MB), however many clicks there are."""


@torch.no_grad()
def heed_clicks(
    masks: ObjectMasks,
    features: SliceSource,
    query: ObjectQuery,
    record: SpatialRecord,
    *,
    lease: Lease = nullcontext,
) -> None:
    """Correct mask logits where they contradict clicks.

    Args:
        masks: of one object, on every slice; its logits are changed in place.
        features: of these slices.
        query: with the object's clicks and box.
        record: how far slices and pixels are apart.
        lease: entered for each step, so that others can use the device in between.
    """
    side = masks.mask_logits.shape[-1]
    clicks = _Clicks.of(query, side, record.side, masks.mask_logits.device)
    if clicks is None:
        return
    prior = masks.mask_logits
    missing = clicks.missing(prior)
    if not missing.any():
        return
    height_mm, width_mm = (pixel_mm * record.side / side for pixel_mm in record.pixel_mm)
    spacing_mm = (record.slice_spacing_mm, height_mm, width_mm)
    with lease(), full_precision(prior.device):
        field = _Field(clicks, features, spacing_mm, _reach_mm(masks, query, spacing_mm, record.side))
        weights = field.solve(missing)
    _bounded(prior)
    last = len(prior) - 1 if query.last_slice is None else min(query.last_slice, len(prior) - 1)
    asked = torch.arange(max(query.first_slice, 0), last + 1, device=prior.device)
    near = asked[(field.steps(asked) < FARTHEST).any(dim=0)]
    for numbers in field.parts(near):
        with lease(), full_precision(prior.device):
            prior[numbers] += torch.einsum("c,cnhw->nhw", weights, field.covariance(numbers))
    if query.box_xyxy is not None:
        masks.mask_logits = within(query.box_xyxy, prior, record.side)


def _bounded(logits: Float[Tensor, "*d m m"]) -> Float[Tensor, "*d m m"]:
    """The same tensor, changed in place: all slices of a long scan take much memory."""
    return logits.div_(SURENESS).tanh_().mul_(SURENESS)


@dataclass(frozen=True)
class _Clicks:
    """Clicks on the mask grid; sorted, so that their order changes nothing."""

    side: int
    """Side of the mask grid in pixels."""
    slices: Int[Tensor, " c"]
    rows: Float[Tensor, " c"]
    columns: Float[Tensor, " c"]
    signs: Float[Tensor, " c"]

    @classmethod
    def of(cls, query: ObjectQuery, side: int, image_size: int, device: torch.device) -> _Clicks | None:
        scale = side / image_size
        found = sorted(
            (d, rescaled(y, scale), rescaled(x, scale), 2.0 * label - 1)
            for prompts in (query.prompts, query.corrections)
            for d, prompt in prompts.items()
            for (x, y), label in zip(prompt.points_xy, prompt.point_labels, strict=True)
            if label in (0, 1)
        )
        if not found:
            return None
        d, rows, columns, signs = torch.tensor(found, dtype=torch.float32, device=device).T
        return cls(side, d.long(), rows, columns, signs)

    def on(self, number: int) -> Int[Tensor, " k"]:
        """Which clicks lie on a slice."""
        return torch.nonzero(self.slices == number).flatten()

    def sampled(self, maps: Float[Tensor, "k h w"], which: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
        """Maps of one slice where some of its clicks lie between their pixels, as on the way back to the scan."""
        place = torch.stack([self.columns[which], self.rows[which]], dim=1)
        grid = normalised(place, self.side)[None, None]
        return F.grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0, :, 0].T

    def missing(self, prior: Float[Tensor, "d m m"]) -> Float[Tensor, " c"]:
        """What the masks lack at the clicks that they contradict."""
        there = torch.empty_like(self.signs)
        for number in torch.unique(self.slices).tolist():
            which = self.on(number)
            there[which] = self.sampled(_bounded(prior[number].clone())[None], which)[:, 0]
        return torch.where(self.signs * there < MARGIN, self.signs * MARGIN - there, 0.0)


class _Field:
    """The covariance of each click with each pixel."""

    def __init__(
        self,
        clicks: _Clicks,
        features: SliceSource,
        spacing_mm: tuple[float, float, float],
        reach_mm: tuple[float, float, float],
    ) -> None:
        self.clicks = clicks
        self.features = features
        self.reaches_per_pixel = tuple(spacing / reach for spacing, reach in zip(spacing_mm, reach_mm, strict=True))
        self.click_features = self._click_features()

    def solve(self, missing: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
        """Weight of each click; the covariances times these weights add up to what is missing at every click."""
        between = torch.empty(len(missing), len(missing), device=missing.device)
        for numbers in self.parts(torch.unique(self.clicks.slices)):
            covariance = self.covariance(numbers)
            for place, number in enumerate(numbers.tolist()):
                which = self.clicks.on(number)
                between[which] = self.clicks.sampled(covariance[:, place], which)
        noise = NOISE * torch.eye(len(missing), device=missing.device)
        return torch.linalg.solve(between + noise, missing)

    def parts(self, numbers: Int[Tensor, " n"]) -> Iterator[Int[Tensor, " _"]]:
        """Slices, as many at a time as memory is meant to hold."""
        size = max(1, min(SLICES, AT_ONCE // (len(self.clicks.slices) * self.clicks.side**2)))
        return (numbers[start : start + size] for start in range(0, len(numbers), size))

    def steps(self, numbers: Int[Tensor, " n"]) -> Float[Tensor, "c n"]:
        """Distance of slices from each click, in standard deviations."""
        return (numbers - self.clicks.slices[:, None]).abs() * self.reaches_per_pixel[0]

    def covariance(self, numbers: Int[Tensor, " n"]) -> Float[Tensor, "c n m m"]:
        """Of each click with every pixel of some slices: 1 at the click itself."""
        line = torch.arange(self.clicks.side, device=self.clicks.rows.device)
        rows = (line - self.clicks.rows[:, None]) * self.reaches_per_pixel[1]
        columns = (line - self.clicks.columns[:, None]) * self.reaches_per_pixel[2]
        apart = self.steps(numbers)[:, :, None, None] ** 2 + rows[:, None, :, None] ** 2 + columns[:, None, None] ** 2
        return torch.exp(-apart / 2 - self._unlikeness(numbers) / (2 * UNLIKENESS**2))

    def _unlikeness(self, numbers: Int[Tensor, " n"]) -> Float[Tensor, "c n m m"]:
        """Squared distance of unit features, relative to their size, summed over the resolutions."""
        levels = self.features.select(numbers).levels
        total = torch.zeros((), device=numbers.device)
        for features, level in zip(self.click_features, levels, strict=True):
            values = level.float()
            # Faster than F.normalize, whose norm over channels reads memory in steps.
            norm = values.square().sum(dim=1).sqrt().clamp(min=1e-12)
            likeness = torch.einsum("ck,nkhw->cnhw", features, values) / norm
            total = total + 2 - 2 * F.interpolate(likeness, size=(self.clicks.side, self.clicks.side), mode="bilinear")
        return total

    def _click_features(self) -> list[Float[Tensor, "c _"]]:
        """Unit features of the clicked pixels, one tensor per resolution."""
        found: list[list[Tensor]] = []
        for number in torch.unique(self.clicks.slices).tolist():
            which = self.clicks.on(number)
            levels = self.features.select(torch.tensor([number], device=which.device)).levels
            found.append([self.clicks.sampled(F.normalize(level.float(), dim=1)[0], which) for level in levels])
        # the clicks are sorted by slice
        return [F.normalize(torch.cat(level), dim=1) for level in zip(*found, strict=True)]


def _reach_mm(
    masks: ObjectMasks, query: ObjectQuery, spacing_mm: tuple[float, float, float], image_size: int
) -> tuple[float, float, float]:
    """A click's reach along each axis: a part of the box, or of what was found where there is no box."""
    edges_dhw = box_extent(query, masks.mask_logits.shape[-1], image_size) or extent(masks)
    d, h, w = (
        max(MIN_REACH_MM, REACH * (high - low) * mm) for (low, high), mm in zip(edges_dhw, spacing_mm, strict=True)
    )
    return d, h, w
