"""Results of queries on a phantom's true masks are those that plain numpy computes from the label map."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.unit.tasks.questions.conftest import Ask

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.scene import Scene


def mask_of(phantom: Phantom, key: str) -> np.ndarray:
    """The true mask of a structure; a pair is the union of its sides."""
    keys = {key, *vocabulary.STRUCTURES[key].parts}
    values = [value for value, name in phantom.labels.items() if name in keys]
    assert values, key
    return np.isin(phantom.label_map, values)


def volume_ml(phantom: Phantom, key: str) -> float:
    edges = phantom.volume.affine[:3, :3]
    return float(mask_of(phantom, key).sum() * abs(np.linalg.det(edges)) / 1000)


def nearest_mm(phantom: Phantom, first: str, second: str) -> float:
    """By a distance map on the scan's grid: another way than the one that is tested."""
    away = ndimage.distance_transform_edt(~mask_of(phantom, first), sampling=phantom.volume.spacing_mm)
    return float(away[mask_of(phantom, second)].min())


def x_mm(phantom: Phantom, key: str) -> float:
    return float(geometry.ijk_to_ras(np.argwhere(mask_of(phantom, key)), phantom.volume.affine)[:, 0].mean())


@pytest.mark.parametrize("key", ["liver", "spleen", "kidneys", "kidney_left"])
def test_a_volume_is_counted_in_voxels(ask: Ask, small_phantom: Phantom, key: str) -> None:
    name = vocabulary.STRUCTURES[key].name
    outcome = ask(f"volume of {name}")
    assert (outcome.value, outcome.unit) == (pytest.approx(volume_ml(small_phantom, key)), "mL")
    in_litres = ask(f"volume of {name}, L")
    assert (in_litres.value, in_litres.unit) == (pytest.approx(volume_ml(small_phantom, key) / 1000), "L")
    assert key in outcome.fact_ids


def test_a_volume_is_not_told_in_millimetres(ask: Ask) -> None:
    outcome = ask("volume of gallbladder, mm")
    assert outcome.unit == "mL"
    assert "not told in mm" in outcome.reason


def test_a_diameter_is_the_longest_one_of_all_slices(ask: Ask, small_phantom: Phantom) -> None:
    mask, longest = mask_of(small_phantom, "spleen"), 0.0
    for plane in np.moveaxis(mask, 2, 0):
        places_mm = np.argwhere(plane) * np.array(small_phantom.volume.spacing_mm[:2])
        if len(places_mm):
            apart = np.linalg.norm(places_mm[:, None] - places_mm[None], axis=-1)
            longest = max(longest, float(apart.max()))
    outcome = ask("length of spleen, cm")
    assert (outcome.value, outcome.unit) == (pytest.approx((longest + 6.0) / 10), "cm")
    assert outcome.slices == (int(mask.any((0, 1)).argmax()), 35 - int(mask.any((0, 1))[::-1].argmax()))


def test_a_density_is_that_of_the_voxels_inside(ask: Ask, small_phantom: Phantom) -> None:
    inside = ndimage.binary_erosion(mask_of(small_phantom, "liver"))
    outcome = ask("density of liver")
    assert outcome.value == pytest.approx(float(small_phantom.volume.hu[inside].mean()), abs=2.0)
    assert outcome.unit == "HU"


@pytest.mark.parametrize(
    ("first", "second"), [("liver", "spleen"), ("kidney_left", "kidney_right"), ("spleen", "gallbladder")]
)
def test_a_distance_is_the_shortest_one(ask: Ask, small_phantom: Phantom, first: str, second: str) -> None:
    names = [vocabulary.STRUCTURES[key].name for key in (first, second)]
    outcome = ask(f"distance from {names[0]} to {names[1]}")
    assert outcome.value == pytest.approx(nearest_mm(small_phantom, first, second))
    assert outcome.fact_ids == (first, second)


def test_neighbours_touch(ask: Ask, small_phantom: Phantom) -> None:
    near_mm = nearest_mm(small_phantom, "liver", "gallbladder")
    assert 0 < near_mm <= np.linalg.norm(small_phantom.volume.spacing_mm), "they share a face, an edge or a corner"
    assert ask("distance from liver to gallbladder").value == 0.0


def test_ratios_and_differences_are_of_both_volumes(ask: Ask, small_phantom: Phantom) -> None:
    left, right = volume_ml(small_phantom, "kidney_left"), volume_ml(small_phantom, "kidney_right")
    pair = "left kidney to right kidney"
    assert ask(f"ratio of volume of {pair}").value == pytest.approx(left / right)
    assert ask(f"ratio of volume of {pair}, %").value == pytest.approx(100 * left / right)
    assert ask(f"difference of volume of {pair}").value == pytest.approx(left - right)


def test_the_largest_is_found_and_the_smallest(ask: Ask, small_phantom: Phantom) -> None:
    among = {name: volume_ml(small_phantom, name) for name in ("liver", "spleen", "pancreas")}
    listed = " or ".join(among)
    assert ask(f"greatest volume of {listed}").value == max(among, key=lambda name: among[name])
    assert ask(f"least volume of {listed}").value == min(among, key=lambda name: among[name])
    assert ask("whether volume of liver is more than spleen").value is True
    assert ask("whether volume of liver is less than 1.2 L").value is (among["liver"] < 1200)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("presence of liver", True),
        ("presence of liver and brain", False),
        ("presence of liver cyst", False),
        ("presence of left hydronephrosis", True),
        ("count of kidneys", 2),
        ("count of liver cyst", 0),
        ("count of vertebrae", 6),
        ("side of spleen", "left"),
        ("side of liver", "right"),
        ("side of left hydronephrosis", "left"),
        ("side of kidneys", "both"),
        ("side of spinal cord", "middle"),
        ("location of left hydronephrosis", "left kidney"),
        ("region", "abdomen"),
        ("phase", "portal venous"),
        ("modality", "CT"),
        ("plane", "axial"),
        ("number of slices", 36),
        ("slice thickness", pytest.approx(5.0)),
        ("voxel size", (6.0, 6.0, 5.0)),
        ("whether spleen is enlarged", False),
        ("whether left kidney is normal", False),
        ("whether liver is normal", True),
        ("whether left kidney is dilated", True),
        ("whether right kidney is dilated", False),
        ("whether aorta is dilated", True),
        ("presence of aneurysm", True),
        ("count of hydronephrosis", 1),
        ("list of findings in left kidney", ("left hydronephrosis",)),
    ],
)
def test_what_the_phantom_is_known_to_hold(ask: Ask, query: str, value: object) -> None:
    assert ask(query).value == value


def test_the_level_is_the_vertebra_at_the_same_height(ask: Ask, small_phantom: Phantom) -> None:
    def z_mm(key: str) -> float:
        held = np.argwhere(mask_of(small_phantom, key))
        return float(geometry.ijk_to_ras(held, small_phantom.volume.affine)[:, 2].mean())

    seen = [key for key in small_phantom.labels.values() if key.startswith("vertebrae_")]
    nearest = min(seen, key=lambda key: abs(z_mm(key) - z_mm("pancreas")))
    outcome = ask("level of pancreas")
    assert f"vertebrae_{outcome.value}" == nearest
    assert nearest in outcome.fact_ids


def test_sides_are_the_patients(ask: Ask, small_phantom: Phantom) -> None:
    assert x_mm(small_phantom, "kidney_right") > x_mm(small_phantom, "kidney_left"), "RAS: x grows to the right"
    outcome = ask("greatest volume of left kidney or right kidney")
    assert outcome.value == "right kidney"
    assert ask("side of largest kidneys").value == "right"


def test_what_the_scan_does_not_show_is_told_apart_from_what_is_absent(ask: Ask) -> None:
    outside = ask("volume of brain")
    assert (outside.value, outside.state) == (None, "outside the field of view")
    assert "the brain lies about" in outside.reason
    absent = ask("volume of liver cyst")
    assert (absent.value, absent.state) == (None, "absent")
    unknown = ask("volume of tongue")
    assert unknown.value is None


def test_a_cut_organ_is_told_as_cut(ask: Ask) -> None:
    outcome = ask("volume of liver")
    assert outcome.things[0].whole is not None
    assert outcome.things[0].whole.cut


def test_a_composed_object_has_the_voxels_that_its_words_mean(ask: Ask, small_phantom: Phantom) -> None:
    both = volume_ml(small_phantom, "kidneys")
    left = volume_ml(small_phantom, "kidney_left")
    assert ask("volume of kidneys without left kidney").value == pytest.approx(both - left)
    assert ask("volume of liver and spleen").value == pytest.approx(
        volume_ml(small_phantom, "liver") + volume_ml(small_phantom, "spleen")
    )


def test_members_that_are_only_known_together_are_not_counted(small_phantom: Phantom) -> None:
    spine = np.isin(
        small_phantom.label_map, [value for value, key in small_phantom.labels.items() if key.startswith("vertebrae_")]
    )
    facts = Facts(GivenMasks.of_truth(small_phantom.volume, {"vertebrae": spine}))
    outcome = execute(read_query("count of vertebrae"), Scene(facts))
    assert (outcome.value, outcome.state) == (None, "not assessed")
    assert "only known all together" in outcome.reason


def test_findings_are_listed_and_nothing_else(ask: Ask) -> None:
    listed = ask("list of findings")
    assert set(listed.fact_ids) == {"aortic_aneurysm", "hydronephrosis_left.1"}
    assert listed.reason.startswith("Not assessed: ")
    vessels = ask("list of vessels").value
    assert isinstance(vessels, tuple)
    assert {"aorta", "inferior vena cava"} <= set(vessels)
    assert "liver" not in vessels
