"""Mask logits of one view on another's grid: every value stays at its place in the patient."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from medvlsam2.errors import GeometryMismatch
from medvlsam2.transforms import regrid as transforms
from medvlsam2.transforms.regrid import regrid
from medvlsam2.transforms.spatial import SpatialRecord

SHAPE = (30, 36, 24)
SIDE = 32
OUTSIDE = -77.0


def view(
    axes: tuple[int, int, int] = (2, 1, 0),
    flips: tuple[bool, bool, bool] = (False, True, True),
    crop_hw: tuple[int, int, int, int] = (0, 36, 0, 30),
    shape: tuple[int, int, int] = SHAPE,
) -> SpatialRecord:
    return SpatialRecord(shape, np.diag([1.0, 2.0, 3.0, 1.0]), axes, flips, crop_hw, 2 * SIDE)


def ramp(record: SpatialRecord) -> torch.Tensor:
    """At each pixel of a view's mask grid a value that tells its voxel."""
    d, h, w = np.meshgrid(np.arange(record.num_slices), np.arange(SIDE), np.arange(SIDE), indexing="ij")
    places = np.stack([d, 2 * (h + 0.5) - 0.5, 2 * (w + 0.5) - 0.5], axis=-1).reshape(-1, 3)
    values = record.dhw_to_ijk(places) @ (1.0, 50.0, 2500.0)
    return torch.from_numpy(values.reshape(d.shape)).float()


def regridded(logits: torch.Tensor, source: SpatialRecord, target: SpatialRecord, **options: float) -> torch.Tensor:
    """All slices together."""
    parts = list(regrid(logits, source, target, **{"outside": OUTSIDE, **options}))
    assert [number for part, _ in parts for number in range(part.start, part.stop)] == list(range(target.num_slices))
    return torch.cat([part for _, part in parts])


def test_the_same_view_changes_nothing() -> None:
    logits = torch.randn(24, SIDE, SIDE)
    torch.testing.assert_close(regridded(logits, view(), view()), logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_values_stay_at_their_voxels(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    source = view()
    target = view(axes, flips, crop_hw=(6, 18, 4, 20))
    found = regridded(ramp(source), source, target)
    expected = ramp(target)
    known = found != OUTSIDE
    assert known.float().mean() > 0.4
    d, h, w = torch.nonzero(known).T
    inner = (found - expected).abs()[d, h, w]
    assert float(inner.median()) < 0.5
    # at the outermost half pixel the nearest value is repeated
    assert float((inner < 1.0).float().mean()) > 0.9


def test_beyond_the_other_view_nothing_is_known() -> None:
    part = view(crop_hw=(9, 27, 6, 24))
    found = regridded(torch.ones(24, SIDE, SIDE), part, view())
    rows = torch.nonzero((found != OUTSIDE).any(dim=(0, 2))).flatten().tolist()
    columns = torch.nonzero((found != OUTSIDE).any(dim=(0, 1))).flatten().tolist()
    assert (rows[0], rows[-1] + 1) == (round(SIDE * 9 / 36), round(SIDE * 27 / 36))
    assert columns[0] == pytest.approx(SIDE * 6 / 30, abs=1)
    torch.testing.assert_close(found[found != OUTSIDE], torch.ones(int((found != OUTSIDE).sum())))


@pytest.mark.parametrize("axes", [(2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("at_once", [1, 5, 24])
def test_some_slices_at_a_time_give_the_result_of_all_at_once(
    axes: tuple[int, int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = view(), view(axes, (True, False, True), crop_hw=(6, 18, 4, 20))
    expected = regridded(ramp(source), source, target)
    monkeypatch.setattr(transforms, "SLICES_AT_ONCE", at_once)
    torch.testing.assert_close(regridded(ramp(source), source, target), expected, atol=0.05, rtol=0)


def test_logits_are_limited() -> None:
    logits = torch.tensor([-1024.0, 2.0, 30.0]).repeat_interleave(8)[:, None, None].expand(24, SIDE, SIDE)
    found = regridded(logits, view(), view(), limit=10.0)
    torch.testing.assert_close(found[[3, 12, 20]], logits[[3, 12, 20]].clamp(-10, 10))
    assert float(found.min()) == -10, "bounded before slices are mixed"


def test_views_of_two_scans_are_refused() -> None:
    with pytest.raises(GeometryMismatch, match=r"\(30, 36, 24\) and \(30, 36, 25\)"):
        regrid(torch.zeros(24, SIDE, SIDE), view(), view(shape=(30, 36, 25)), outside=0.0)
