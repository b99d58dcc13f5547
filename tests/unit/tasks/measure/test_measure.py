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
    QuickLook,
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
    measured = measure_structures(similarity, TOKENS, lambda _: features, voxel_ml=0.1, slice_mm=5.0)
    assert measured is not None
    facts = measured.facts
    np.testing.assert_array_equal(measured.masks["liver"], block(1, 5, 6).numpy())
    assert facts.volumes_ml == pytest.approx({"liver": 4 * 36 * 0.1})
    assert facts.absent == ("spleen",)
    assert facts.region == "abdomen"
    assert not facts.lesions_known
    assert measured.look == QuickLook("abdomen", frozenset({"liver"}))


def test_the_cut_organs_of_a_neighbour_do_not_tell_the_region_but_are_seen(similarity: TextSimilarity) -> None:
    names = {"lung_left": torch.eye(DIM)[0], "mandible": torch.eye(DIM)[1]}
    features = scan({0: block(0, 3, 9), 1: block(4, 5, 8)})
    measured = measure_structures(similarity, names, lambda _: features, voxel_ml=0.1, slice_mm=5.0)
    assert measured is not None
    assert measured.facts.region == "head and neck"
    assert set(measured.facts.volumes_ml) == {"mandible"}, "what is told of the scan is of its region"
    assert measured.look.keys == {"mandible", "lung_left"}


def test_a_speck_is_not_seen(similarity: TextSimilarity) -> None:
    features = scan({0: block(1, 5, 6), 1: block(2, 3, 4).roll(9, dims=1)})
    for voxel_ml, absent in ((MIN_ML / 16.1, ("spleen",)), (MIN_ML / 15.9, ())):
        measured = measure_structures(similarity, TOKENS, lambda _: features, voxel_ml, slice_mm=5.0)
        assert measured is not None
        assert measured.facts.absent == absent


def test_nothing_is_said_where_nothing_is_known(similarity: TextSimilarity) -> None:
    assert measure_structures(similarity, TOKENS, lambda _: scan({}), voxel_ml=0.1, slice_mm=5.0) is None


def test_parts_are_measured_and_findings_are_not() -> None:
    assert measurable(["liver", "kidneys", "kidney_left", "lung_tumor", "no_such_key"]) == ["liver", "kidney_left"]
    assert measurable(["lung_left", "lungs", "vertebrae", "ribs"]) == ["lung_left"], "no lobe is known apart"
    assert measurable(["lung_left", "lung_upper_lobe_left"]) == ["lung_upper_lobe_left"]
