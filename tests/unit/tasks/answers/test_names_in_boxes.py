"""A box or strokes on an organ give that organ under any name; clicks on one of a pair; clicks that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.answers.agreement import is_another
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import BESIDE, ON_OBJECT, ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.voxel_box import BoxIJK


@pytest.mark.parametrize("name", ["kidneys", "vertebrae", "ribs", "left kidney", "left renal cyst"])
def test_a_box_round_an_organ_gives_that_organ_under_another_name(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], name: str
) -> None:
    """ "kidneys" with the box of the spleen gave a corner of the left kidney: Dice with the spleen 0.02."""
    box = box_round(truth["spleen"])
    found = segment(nano, small_phantom.volume, [ObjectPrompt(name, box_ijk=box)])
    assert dice(found.label_map == 1, truth["spleen"]) > 0.8
    assert any(f"'{name}' and the box disagree" in note for note in found.warnings), found.warnings


def test_a_finding_keeps_its_name_and_the_fitting_structure_is_reported(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    """Boxes of real sarcomas fit muscles and the bladder too, so the name stays."""
    prompt = ObjectPrompt("soft tissue sarcoma", box_ijk=box_round(truth["spleen"]))
    found = segment(nano, small_phantom.volume, [prompt])
    assert any("also fits the spleen" in note for note in found.warnings), found.warnings
    assert (found.label_map == 1)[truth["spleen"]].any()


@pytest.mark.parametrize(
    ("name", "keys"),
    [("kidneys", ("kidney_left",)), ("kidneys", ("kidney_left", "kidney_right")), ("left kidney", ("kidney_left",))],
)
def test_a_box_round_one_or_both_of_a_pair_is_used_without_a_word(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], name: str, keys: tuple[str, ...]
) -> None:
    organ = np.logical_or.reduce([truth[key] for key in keys])
    found = segment(nano, small_phantom.volume, [ObjectPrompt(name, box_ijk=box_round(organ))])
    assert found.warnings == ()
    assert dice(found.label_map == 1, organ) > 0.75


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        *(("kidneys", "kidney_left", False), ("left kidney", "kidneys", False), ("renal cyst", "kidney_left", False)),
        *(("vertebrae", "spine", False), ("pleural effusion", "lung_left", False), ("sarcoma", "spleen", False)),
        *(("left kidney", "kidney_right", True), ("left renal cyst", "kidney_right", True), ("lungs", "heart", True)),
        *(("cyst in the liver", "spleen", True), ("cyst in the liver", "liver", False), ("ribs", "lung_left", True)),
    ],
)
def test_names_that_mean_another_structure_are_recognised(text: str, key: str, expected: bool) -> None:
    assert is_another(text, key) is expected


@pytest.mark.parametrize("name", ["left kidney", "kidneys", "vertebrae"])
def test_strokes_on_an_organ_give_that_organ_under_another_name(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], name: str
) -> None:
    spleen = truth["spleen"]
    strokes = np.zeros(spleen.shape, dtype=np.uint8)
    inner = ndimage.binary_erosion(spleen, iterations=2)
    middle = int(np.argwhere(inner)[:, 2].mean())
    strokes[..., middle][inner[..., middle]] = ON_OBJECT
    strokes[truth["kidney_left"] & (np.arange(spleen.shape[2]) == middle)] = BESIDE
    found = segment(nano, small_phantom.volume, [ObjectPrompt(name, scribbles=strokes)])
    alone = segment(nano, small_phantom.volume, [ObjectPrompt(scribbles=strokes)])
    np.testing.assert_array_equal(found.label_map, alone.label_map)
    assert (found.label_map == 1)[spleen].any()
    assert not (found.label_map == 1)[truth["kidney_left"]].any()
    assert any(f"'{name}' and the strokes disagree" in note for note in found.warnings), found.warnings


def test_a_click_on_one_of_a_pair_gives_the_pair_that_is_named(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    """The segment is called "kidneys": the click says that it is on the right way, not that one of them is meant."""
    point = deepest(truth["kidney_left"])
    found = segment(nano, small_phantom.volume, [ObjectPrompt("kidneys", points_ijk=(point,), point_labels=(1,))])
    one = segment(nano, small_phantom.volume, [ObjectPrompt("left kidney", points_ijk=(point,), point_labels=(1,))])
    both = truth["kidney_left"] | truth["kidney_right"]
    assert dice(found.label_map == 1, both) > 0.7
    assert dice(one.label_map == 1, truth["kidney_left"]) > 0.85
    assert not (one.label_map == 1)[truth["kidney_right"]].any()


def test_clicks_outside_the_scan_leave_the_name(nano: Engine, small_phantom: Phantom) -> None:
    """One click that slipped beside the scan, and every request of the segment was refused."""
    stray = {"points_ijk": ((-5.0, 3.0, 3.0),), "point_labels": (1,)}
    found = segment(nano, small_phantom.volume, [ObjectPrompt("spleen", **stray)])
    by_words = segment(nano, small_phantom.volume, [ObjectPrompt("spleen")])
    np.testing.assert_array_equal(found.label_map, by_words.label_map)
    assert "outside the scan" in found.warnings[0]
    assert "by the name 'spleen' alone" in found.warnings[0]
    for name in (None, "lesion", "my organ"):
        with pytest.raises(InvalidPrompt, match="outside the volume"):
            segment(nano, small_phantom.volume, [ObjectPrompt(name, **stray)])


def test_a_voxel_with_both_kinds_of_click_is_on_the_object_with_a_warning(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    i, j, k = deepest(truth["spleen"])
    points = ((i, j, k), (i + 0.2, j, k))
    found = segment(nano, small_phantom.volume, [ObjectPrompt("spleen", points_ijk=points, point_labels=(1, 0))])
    clean = segment(nano, small_phantom.volume, [ObjectPrompt("spleen", points_ijk=points[:1], point_labels=(1,))])
    np.testing.assert_array_equal(found.label_map, clean.label_map)
    assert any("Click 2 beside 'spleen'" in note and "clicked as on it too" in note for note in found.warnings)


def test_names_with_additions_are_answered_as_the_name(nano: Engine, small_phantom: Phantom) -> None:
    written = ["liver_1", "Spleen copy", "KidneyL"]
    found = segment(nano, small_phantom.volume, [ObjectPrompt(name) for name in written])
    plain = segment(nano, small_phantom.volume, [ObjectPrompt(name) for name in ("liver", "spleen", "left kidney")])
    np.testing.assert_array_equal(found.label_map, plain.label_map)
    assert [item.name for item in found.objects] == written


def test_words_that_the_model_does_not_know_are_reported(nano: Engine, small_phantom: Phantom) -> None:
    """ "cortex of the left kidney" gives the whole kidney."""
    asked = ["cortex of the left kidney", "left rib 9", "liver"]
    found = segment(nano, small_phantom.volume, [ObjectPrompt(name) for name in asked])
    assert any("does not know 'cortex'" in note for note in found.warnings)
    assert any("'left rib 9' is not among the structures" in note for note in found.warnings)
    assert not any("'liver'" in note for note in found.warnings)
    with pytest.raises(InvalidPrompt, match=r"'middle third of left kidney'"):
        segment(nano, small_phantom.volume, [ObjectPrompt("hilum of the left kidney")])


def box_round(mask: np.ndarray) -> BoxIJK:
    """The smallest box round a mask."""
    places = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    return i0, i1, j0, j1, k0, k1


def deepest(mask: np.ndarray) -> tuple[float, float, float]:
    """The voxel of a mask that is farthest from its surface."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    i, j, k = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(i), float(j), float(k)
