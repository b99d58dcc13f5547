"""The structures that a real scan certainly does not show."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.datasets.label_facts import facts_of_labels

SLICE_MM = 10.0


def absent_of(heights, slices=60, flipped=False):
    """Return the structures that a scan certainly lacks; ``structures`` fill slices that are counted from the feet."""
    affine = np.diag([5.0, 5.0, -SLICE_MM if flipped else SLICE_MM, 1.0])
    truth = {}
    for key, (low, high) in heights.items():
        mask = np.zeros((4, 4, slices), dtype=bool)
        mask[1:3, 1:3, low:high] = True
        truth[key] = mask[:, :, ::-1].copy() if flipped else mask
    facts = facts_of_labels(truth, affine)
    return () if facts is None else facts.absent


@pytest.mark.parametrize("flipped", [False, True])
def test_a_neck_that_ends_above_the_abdomen_shows_none_of_it(flipped):
    absent = absent_of({"larynx": (10, 14), "mandible": (15, 19)}, slices=30, flipped=flipped)
    assert {"liver", "spleen", "urinary_bladder", "femur_left"} <= set(absent)
    assert not {"heart", "lung_left", "trachea", "brain", "mandible", "larynx"} & set(absent)


def test_a_longer_scan_excludes_the_pelvis_alone():
    absent = absent_of({"larynx": (18, 22), "mandible": (23, 27)}, slices=40)
    assert "urinary_bladder" in absent
    assert not {"liver", "spleen", "stomach"} & set(absent)


def test_a_whole_body_excludes_nothing():
    assert absent_of({"larynx": (100, 104), "mandible": (105, 109)}, slices=120) == ()


def test_an_unknown_region_excludes_nothing():
    assert absent_of({"soft_tissue_sarcoma": (3, 9)}) == ()


def test_a_slab_of_abdomen_excludes_the_head_and_not_the_contoured_arm():
    absent = absent_of({"liver": (0, 4), "spleen": (1, 4), "humerus_left": (0, 4)}, slices=4)
    assert {"brain", "mandible", "eyeball_left"} <= set(absent)
    assert not {"humerus_left", "kidney_left", "lung_left", "urinary_bladder"} & set(absent)


def test_a_chest_excludes_the_pelvis_where_it_ends_below_the_lungs():
    near = absent_of({"lung_left": (3, 27), "lung_right": (4, 27)}, slices=30)
    far = absent_of({"lung_left": (13, 37), "lung_right": (14, 37)}, slices=40)
    assert {"urinary_bladder", "femur_right"} <= set(near)
    assert not {"liver", "kidney_left", "brain"} & set(near)
    assert far == ()
