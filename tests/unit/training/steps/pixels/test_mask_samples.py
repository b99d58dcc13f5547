"""What a step with masks sees of a case: objects and slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.training.data import samples
from medvlsam2.training.data.cases import Case
from medvlsam2.training.steps.pixels import masks
from medvlsam2.training.steps.pixels.masks import MaskSample, mask_sample


def draw(case: Case, seed: int, *, contiguous: bool = False, slices: int = 5) -> MaskSample:
    rng = np.random.default_rng(seed)
    return mask_sample(case, rng, num_slices=slices, num_objects=3, contiguous=contiguous, sam2=TINY_RANDOM.sam2)


def test_shapes_and_reach(tiny_case: Case) -> None:
    sample = draw(tiny_case, 0)
    assert sample.slices.shape == (5, 3, 64, 64)
    assert sample.masks.shape == (3, 5, 32, 32)
    assert len(sample.phrases) == 3
    assert sample.whole.shape == tiny_case.whole.shape
    torch.manual_seed(1)
    first = draw(tiny_case, 0)
    torch.manual_seed(1)
    again = draw(tiny_case, 0)
    assert torch.equal(first.slices, again.slices)
    assert torch.equal(first.masks, again.masks)
    assert first.phrases == again.phrases


def test_objects_and_absent_ones(tiny_case: Case) -> None:
    seen = [mask.any() for seed in range(60) for mask in draw(tiny_case, seed, slices=2).masks]
    share = 1 - float(torch.stack(seen).float().mean())
    assert 0.1 < share < 0.6, "some objects are not on the drawn slices, most are"


def test_masks_move_with_their_slices(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mask painted into the scan, whatever moves the slice moves the mask alike."""
    liver = tiny_case.structure_mask("liver")
    assert liver is not None
    painted = np.where(liver.repeat(2, 1).repeat(2, 2), 3000, -1000).astype(np.int16)
    case = Case(tiny_case.folder, "painted", tiny_case.keys, None, True, tiny_case.slice_spacing_mm)
    case.__dict__["hu"] = painted
    monkeypatch.setattr(masks, "_draw_object", lambda *_: ("liver", liver, "soft"))
    monkeypatch.setattr(samples, "augment", lambda hu, _: hu)
    agreements, moved = [], 0
    for seed in range(8):
        sample = draw(case, seed)
        bright = torch.nn.functional.avg_pool2d(sample.slices[:, 1], 2) > 0
        mask = sample.masks[0]
        if mask.any():
            agreements.append(2 * float((bright & mask).sum()) / float(bright.sum() + mask.sum()))
        slices_as_stored = {row.tobytes() for row in liver}
        moved += sum(row.numpy().tobytes() not in slices_as_stored for row in mask)
    assert min(agreements) > 0.85
    assert moved > 20


def test_never_mirrored(tiny_case: Case) -> None:
    """The liver stays on the left of the image, whatever the augmentation."""
    liver = tiny_case.structure_mask("liver")
    assert liver is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "NEAR_SHARE", 0.0)
        patch.setattr(masks, "_draw_object", lambda *_: ("liver", liver, "soft"))
        for seed in range(12):
            mask = draw(tiny_case, seed).masks[0]
            columns = torch.nonzero(mask)[:, 2].float()
            assert float(columns.mean()) < 16
