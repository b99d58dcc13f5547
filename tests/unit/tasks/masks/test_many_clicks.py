"""Many clicks take bounded memory, and an unreasonable number of clicks is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.model.propagation.object_query import ObjectMasks, ObjectQuery, SlicePrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.masks.click_correction import heed_clicks
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import MAX_CLICKS, segment
from medvlsam2.transforms.spatial import SpatialRecord

SIDE, IMAGE, SLICES = 128, 256, 40
RECORD = SpatialRecord(
    source_shape_ijk=(IMAGE, IMAGE, SLICES),
    source_affine=np.diag([1.0, 1.0, 2.0, 1.0]),
    axes=(2, 1, 0),
    flips=(False, False, False),
    crop_hw=(0, IMAGE, 0, IMAGE),
    side=IMAGE,
)


def peak_bytes() -> int:
    """Most memory of this process since it was last forgotten."""
    line = next(
        one for one in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if one.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def corrected(count: int) -> torch.Tensor:
    """Masks of nothing, corrected by clicks on all slices, half of them on the object."""
    random = np.random.default_rng(0)
    places = random.integers(8, IMAGE - 8, (count, 2))
    prompts: dict[int, SlicePrompt] = {}
    for number, (x, y) in enumerate(places.tolist()):
        before = prompts.get(number % SLICES, SlicePrompt((), ()))
        points, labels = (*before.points_xy, (float(x), float(y))), (*before.point_labels, number // SLICES % 2)
        prompts[number % SLICES] = SlicePrompt(points, labels)
    torch.manual_seed(0)
    features = SliceFeatures(*(torch.rand(SLICES, 8, side, side) for side in (16, 64, 32)))
    masks = ObjectMasks(torch.full((SLICES, SIDE, SIDE), -0.5), torch.zeros(SLICES), torch.zeros(SLICES), ())
    heed_clicks(masks, features, ObjectQuery(prompts=prompts), RECORD)
    return masks.mask_logits


def test_memory_does_not_grow_with_the_square_of_clicks() -> None:
    """With all pairs at once 100 clicks would take 100 x 100 maps of the mask's size: 650 MB, and three times so."""
    corrected(4)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = peak_bytes()
    logits = corrected(100)
    assert torch.isfinite(logits).all()
    assert peak_bytes() - before < 400 * 2**20


@pytest.mark.parametrize("count", [MAX_CLICKS + 1, 20_000])
def test_too_many_clicks_are_refused(tiny_model_dir: Path, small_phantom: Phantom, count: int) -> None:
    prompt = ObjectPrompt(points_ijk=((5.0, 5.0, 5.0),) * count, point_labels=(1,) * count, name="object")
    with pytest.raises(InvalidPrompt, match=f"{count} clicks given"):
        segment(Engine(tiny_model_dir), small_phantom.volume, [prompt])
    half = ObjectPrompt(points_ijk=((5.0, 5.0, 5.0),) * (count // 2 + 1), point_labels=(1,) * (count // 2 + 1))
    with pytest.raises(InvalidPrompt, match="clicks given"):
        segment(Engine(tiny_model_dir), small_phantom.volume, [half, half])
