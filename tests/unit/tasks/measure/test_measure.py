"""Volumes by name: planted features are found, measured and put into words; specks are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.tasks.measure.structures import (
    MIN_ML,
    likeliest_region,
    measurable,
    measure_structures,
)

DIM, SIDE, SLICES = 32, 16, 6
TOKENS = {"liver": torch.eye(DIM)[0], "spleen": torch.eye(DIM)[1]}


def scan(planted: dict[int, Tensor]) -> SliceFeatures:
    fine = torch.zeros(SLICES, DIM // 8, SIDE, SIDE)
    for channel, mask in planted.items():
        fine[:, channel][mask] = 1.0
    return SliceFeatures(
        torch.zeros(SLICES, DIM, SIDE // 4, SIDE // 4), fine, torch.zeros(SLICES, DIM // 4, SIDE // 2, SIDE // 2)
    )


def block(first: int, last: int, side: int) -> Tensor:
    mask = torch.zeros(SLICES, SIDE, SIDE, dtype=torch.bool)
    mask[first:last, 2 : 2 + side, 2 : 2 + side] = True
    return mask


def test_volumes_of_what_is_there(similarity: TextSimilarity) -> None:
    features = scan({0: block(1, 5, 6)})
    measured = measure_structures(similarity, TOKENS, lambda _: features, voxel_ml=0.1)
    assert measured is not None
    facts = measured.facts
    np.testing.assert_array_equal(measured.masks["liver"], block(1, 5, 6).numpy())
    assert facts.volumes_ml == pytest.approx({"liver": 4 * 36 * 0.1})
    assert facts.absent == ("spleen",)
    assert facts.region == "abdomen"
    assert not facts.lesions_known


def test_a_speck_is_not_seen(similarity: TextSimilarity) -> None:
    features = scan({0: block(1, 5, 6), 1: block(2, 3, 4).roll(9, dims=1)})
    for voxel_ml, absent in ((MIN_ML / 16.1, ("spleen",)), (MIN_ML / 15.9, ())):
        measured = measure_structures(similarity, TOKENS, lambda _: features, voxel_ml)
        assert measured is not None
        assert measured.facts.absent == absent


def test_nothing_is_said_where_nothing_is_known(similarity: TextSimilarity) -> None:
    assert measure_structures(similarity, TOKENS, lambda _: scan({}), voxel_ml=0.1) is None


def test_structures_that_the_region_cannot_show_are_left_out() -> None:
    found = {"mandible": 60.0, "parotid_gland_left": 25.0, "spinal_cord": 20.0, "kidney_left": 30.0}
    assert likeliest_region(found) == "head and neck"
    assert likeliest_region({"liver": 1400.0, "spleen": 200.0, "mandible": 30.0}) == "abdomen"
    assert likeliest_region({"liver": 1400.0, "urinary_bladder": 200.0, "hip_left": 300.0}) == "abdomen and pelvis"


def test_parts_are_measured_and_findings_are_not() -> None:
    assert measurable(["liver", "kidneys", "kidney_left", "lung_tumor", "no_such_key"]) == ["liver", "kidney_left"]
    assert measurable(["lung_left", "lungs", "vertebrae", "ribs"]) == ["lung_left"], "no lobe is known apart"
    assert measurable(["lung_left", "lung_upper_lobe_left"]) == ["lung_upper_lobe_left"]
