"""The colour table: neighbours, sides and findings differ also for colour-blind viewers, on the grey of a scan."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from colour_distance import (
    DICHROMATS,
    all_pairs,
    anatomical_pairs,
    apart,
    from_grey,
    seen_by,
    side_pairs,
    touching_pairs,
)

from medvlsam2.data import vocabulary
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.phantom import PhantomConfig, generate
from medvlsam2.data.vocabulary import STRUCTURES

SEEN_AT_A_GLANCE = 10.0
"""CIEDE2000; 1 is just noticeable where two colours lie side by side."""
MAIN_ORGANS = (
    *("liver", "spleen", "pancreas", "stomach", "gallbladder", "kidney_left", "kidney_right", "aorta", "heart"),
    *("inferior_vena_cava", "urinary_bladder", "colon", "lung_left", "brain", "spinal_cord", "esophagus", "trachea"),
)
EYES = ("normal", *DICHROMATS)


def colors(keys):
    return np.array([STRUCTURES[key].color_rgb for key in keys])


def nearest(pairs):
    """Return the smallest colour distance of these pairs, for the kind of colour vision that separates them worst."""
    pairs = sorted(map(sorted, pairs))
    found = apart(colors(pair[0] for pair in pairs), colors(pair[1] for pair in pairs))
    least = np.min(list(found.values()), axis=0)
    worst = int(least.argmin())
    return float(least[worst]), pairs[worst], min(found, key=lambda eyes: found[eyes][worst])


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
    ],
)
def test_the_distance_is_ciede2000(first, second, published):
    """Sharma, Wu and Dalal 2005, table 1."""
    from skimage.color import deltaE_ciede2000

    assert deltaE_ciede2000(np.array(first), np.array(second)) == pytest.approx(published, abs=1e-4)


def test_simulated_colour_blindness_confuses_the_known_pairs():
    red_green = apart(np.array([[230, 0, 0]]), np.array([[118, 112, 0]]))
    assert red_green["normal"][0] > 40
    assert red_green["deuteranope"][0] < 10
    blue_green = apart(np.array([[0, 122, 185]]), np.array([[0, 135, 140]]))
    assert blue_green["tritanope"][0] < blue_green["normal"][0] / 3
    for lab in seen_by(np.array([[128, 128, 128]])).values():
        np.testing.assert_allclose(lab[0, 1:], 0, atol=1.5)


def test_no_two_structures_share_a_colour():
    assert len({structure.color_rgb for structure in STRUCTURES.values()}) == len(STRUCTURES)
    pairs = sorted(map(sorted, all_pairs()))
    normal = apart(colors(pair[0] for pair in pairs), colors(pair[1] for pair in pairs))["normal"]
    assert normal.min() > 1


def test_main_organs_differ_in_colour_also_if_they_do_not_touch():
    pairs = set(map(frozenset, combinations(MAIN_ORGANS, 2)))
    found = apart(colors(min(pair) for pair in pairs), colors(max(pair) for pair in pairs))["normal"]
    assert found.min() > 5


def test_left_and_right_differ_in_colour():
    assert len(side_pairs()) > 45
    distance, pair, eyes = nearest(side_pairs())
    assert distance > SEEN_AT_A_GLANCE, (pair, eyes)


def test_structures_that_touch_by_anatomy_differ_in_colour():
    pairs = anatomical_pairs()
    assert {frozenset(("liver", "kidney_right")), frozenset(("heart_atrium_left", "heart_ventricle_left"))} <= pairs
    assert {frozenset(("vertebrae_L1", "vertebrae_L2")), frozenset(("liver_tumor", "liver"))} <= pairs
    distance, pair, eyes = nearest(pairs)
    assert distance > SEEN_AT_A_GLANCE, (pair, eyes)


@pytest.mark.parametrize("region", ["abdomen", "chest", "head and neck"])
def test_structures_that_touch_in_a_phantom_differ_in_colour(region):
    config = PhantomConfig(shape_ijk=(96, 80, 60), spacing_mm=(4.0, 4.0, 6.0), region=region, num_lesions=4)
    phantom = generate(1, config)
    distance, pair, eyes = nearest(touching_pairs(phantom.label_map, phantom.labels))
    assert distance > SEEN_AT_A_GLANCE, (pair, eyes)


def test_structures_that_touch_in_a_real_abdomen_differ_in_colour(shared_data):
    folder = shared_data / "ct" / "TS_abdo"
    names = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["labels"]
    keys = {int(value): vocabulary.find(name).key for value, name in names.items()}
    pairs = touching_pairs(read_label_map(folder / "label.nii.gz").values, keys)
    assert len(pairs) > 100
    distance, pair, eyes = nearest(pairs)
    assert distance > SEEN_AT_A_GLANCE, (pair, eyes)


@pytest.mark.parametrize("eyes", EYES)
def test_every_colour_is_light_and_not_grey(eyes):
    """The background is a grey scan and often dark; an earlier colour of the hip bone was nearly black (L* 30)."""
    shown = colors(STRUCTURES)
    assert seen_by(shown)["normal"][:, 0].min() > 50
    assert seen_by(shown)[eyes][:, 0].min() > 40
    grey = from_grey(shown)[eyes]
    assert grey.min() > 7, list(STRUCTURES)[int(grey.argmin())]
