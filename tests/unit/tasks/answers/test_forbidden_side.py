"""The cut at a side also removes voxels that the guided edges could add to the mask later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.propagation.object_query import ObjectMasks
from medvlsam2.tasks.answers.sides import bind_to_side
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.phrases.sides import side_in
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.transforms.guided import MOST
from medvlsam2.transforms.label_map import label_map_to_source
from medvlsam2.transforms.spatial import SpatialRecord

DEMO = Path(__file__).resolve().parents[4] / "apps" / "medvlsam2" / "demo" / "ct_abdomen.nii.gz"
SIZE = 32


def test_a_pixel_just_below_the_mask_is_cut_on_the_forbidden_side() -> None:
    """Two cysts of one mask: one sure in the left kidney, and a faint one in the right, beside an edge of the scan."""
    volume = CTVolume(np.full((SIZE, SIZE, 4), 30, dtype=np.int16), np.diag([5.0, 5.0, 5.0, 1.0]), "kidneys")
    volume.hu[6:10] = 120  # the edge
    record = SpatialRecord(volume.shape_ijk, volume.affine, (2, 1, 0), (False, False, False), (0, SIZE, 0, SIZE), SIZE)
    left, right = _found(record), _found(record)  # RAS: the first voxels are the left of the patient
    left.masks.mask_logits[:, 12:20, 2:10] = 5.0
    right.masks.mask_logits[:, 12:20, 22:30] = 5.0
    cyst = _found(record)
    cyst.masks.mask_logits[:, 14:18, 4:8] = 5.0
    cyst.masks.mask_logits[:, 14:18, 24:28] = 0.8 - MOST
    sided = side_in("left renal cyst")
    assert sided is not None
    bound = bind_to_side(cyst, sided, {"kidney_left": left, "kidney_right": right})
    assert bound.is_checked
    assert bound.removed == 0.0, "nothing of the mask itself lay there"
    assert float(cyst.masks.mask_logits[:, :, 20:].max()) <= -MOST, "no edge can lift it into the mask"
    assert (cyst.masks.mask_logits[:, 14:18, 4:8] == 5.0).all()
    label_map = label_map_to_source([(cyst.masks.mask_logits, record)], volume.hu)
    assert label_map[: SIZE // 2].any()
    assert not label_map[SIZE // 2 :].any()


def test_a_left_cyst_of_the_demo_scan_has_no_voxel_on_the_right(nano: Engine) -> None:
    """Two voxels of it lay in the right kidney."""
    volume = read_volume(DEMO, image_id="ct_abdomen")
    found = segment(nano, volume, [ObjectPrompt("left renal cyst"), ObjectPrompt("right kidney")])
    places = np.argwhere(found.label_map == 1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    right = np.argwhere(found.label_map == 2) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert len(right) > 1000
    assert not len(places) or places[:, 0].max() < right[:, 0].min()


def _found(record: SpatialRecord) -> Found:
    """Nothing yet, in a view of all slices."""
    masks = ObjectMasks(
        mask_logits=torch.full((record.num_slices, SIZE, SIZE), -9.0),
        object_score_logits=torch.full((record.num_slices,), 4.0),
        iou=torch.ones(record.num_slices),
        conditioning_slices=(),
    )
    return Found(masks, _FlatView(record))


class _FlatView(View):
    """A view whose position alone is used."""

    def __init__(self, record: SpatialRecord) -> None:
        self._record = record

    @property
    def record(self) -> SpatialRecord:
        return self._record
