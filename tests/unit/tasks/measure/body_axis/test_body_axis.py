"""The place of a scan on the body, from the ends of structures whose places are known."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import Extent, ScanRange, extent_of, fit, imaged_slices
from medvlsam2.tasks.measure.body_axis.table import in_every_body, load_axis
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks

LOW_MM, HIGH_MM = -120.0, 150.0
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "vertebrae_L3", "aorta", "heart", "lung_left")


def cut_to(low_mm: float, high_mm: float, keys: tuple[str, ...] = ORGANS, scale: float = 1.0) -> dict[str, Extent]:
    """What a scan of a part of the axis shows of structures that lie exactly where the table says."""
    seen = {}
    for key in keys:
        span = load_axis().spans[key]
        low, high = max(span.low.at_mm, low_mm), min(span.high.at_mm, high_mm)
        if low < high:
            is_cut = (span.low.at_mm < low_mm, span.high.at_mm > high_mm)
            seen[key] = Extent((low - low_mm) / scale, (high - low_mm) / scale, *is_cut)
    return seen


@pytest.mark.parametrize("scale", [0.92, 1.0, 1.08])
def test_a_scan_is_placed_where_its_structures_lie(scale: float) -> None:
    found = fit(cut_to(LOW_MM, HIGH_MM, scale=scale), (HIGH_MM - LOW_MM) / scale)
    assert found is not None
    assert abs(found.low_mm - LOW_MM) < 15
    assert abs(found.high_mm - HIGH_MM) < 15
    assert found.low_sd_mm < 20


def test_wrong_masks_move_nothing() -> None:
    right = cut_to(LOW_MM, HIGH_MM)
    wrong = {"mandible": Extent(20.0, 60.0, False, False), "brain": Extent(10.0, 40.0, False, False)}
    found = fit({**right, **wrong}, HIGH_MM - LOW_MM)
    assert found is not None
    assert abs(found.low_mm - LOW_MM) < 15
    assert found.agreeing < found.ends


def test_too_little_tells_nothing() -> None:
    assert fit({}, 300.0) is None
    assert fit(cut_to(LOW_MM, HIGH_MM, ("kidney_left",)), HIGH_MM - LOW_MM) is None
    both_cut = {"liver": Extent(0.0, 3.0, True, True), "heart": Extent(0.0, 3.0, True, True)}
    assert fit(both_cut, 3.0) is None, "three slices of liver and heart may lie anywhere in both"


def test_masks_that_contradict_each_other_tell_nothing() -> None:
    apart = {"brain": Extent(0.0, 120.0, False, False), "urinary_bladder": Extent(150.0, 210.0, False, False)}
    assert fit(apart, 260.0) is None


def test_each_structure_has_one_place() -> None:
    chest = ScanRange(60.0, 290.0, 6.0, 6.0, 20, 20)
    expected = {"vertebrae_T7": "inside", "spinal_cord": "cut", "vertebrae_S1": "outside", "vertebrae_T12": "near"}
    assert {key: chest.place_of(key) for key in expected} == expected
    below = chest.whereabouts("vertebrae_S1")
    assert below is not None
    assert below.beyond == "below"
    assert below.apart_mm == pytest.approx(60 - load_axis().spans["vertebrae_S1"].high.at_mm)
    assert chest.says_outside("brain") == "The scan covers about T1 to T11, and the brain lies about 150 mm above."
    assert chest.place_of("kidneys") == "near", "a pair lies where its parts lie"
    assert chest.place_of("body") is None


REGIONS: tuple[Region, ...] = ("head and neck", "chest", "abdomen and pelvis", "thighs")


@pytest.mark.parametrize("region", REGIONS)
def test_the_masks_of_a_phantom_tell_its_region(region: Region) -> None:
    config = phantom.PhantomConfig(region=region, max_voxels=100_000, num_lesions=0)
    drawn = phantom.generate(620_000, config)
    truth = {key: drawn.label_map == value for value, key in drawn.labels.items()}
    facts = Facts(GivenMasks.of_truth(drawn.volume, truth))
    assert facts.region() == region
    outside = [key for key in drawn.facts.absent if (facts.structure(key).state == "outside the field of view")]
    assert len(outside) > 0.6 * len(drawn.facts.absent)
    assert not any(facts.structure(key).in_view for key in drawn.facts.absent)


def test_a_vertebra_without_a_mask_is_in_view_by_its_place_and_an_organ_is_not() -> None:
    config = phantom.PhantomConfig(region="abdomen", max_voxels=100_000, num_lesions=0, oblique_degrees=0.0)
    drawn = phantom.generate(620_001, config)
    hidden = ("vertebrae_L2", "spleen")
    truth = {key: drawn.label_map == value for value, key in drawn.labels.items() if key not in hidden}
    facts = Facts(GivenMasks.of_truth(drawn.volume, truth))
    vertebra, spleen = (facts.structure(key) for key in hidden)
    assert (vertebra.state, vertebra.in_view, vertebra.volume_ml) == ("not assessed", True, None)
    assert "covers about" in vertebra.reason
    assert (spleen.state, spleen.in_view) == ("not assessed", False), "a spleen may have been removed"


def test_slices_of_padding_are_no_part_of_the_scan() -> None:
    hu = np.full((8, 8, 10), -1024, dtype=np.int16)
    hu[:, :, 3:9] = np.arange(8)[:, None, None]
    assert imaged_slices(CTVolume(hu, np.eye(4), "padded")) == (3, 9)


def test_single_voxels_far_away_move_no_end() -> None:
    areas = np.array([1, 0, 0, 200, 300, 200, 0, 0])
    assert extent_of(areas, 2.0) == Extent(6.0, 12.0, True, False)


def test_the_tables_name_known_structures_in_the_right_order() -> None:
    axis = load_axis()
    assert set(axis.spans) | set(in_every_body()) <= set(vocabulary.STRUCTURES)
    assert all(span.low.at_mm < span.high.at_mm for span in axis.spans.values())
    spine = [key for key in vocabulary.STRUCTURES if key.startswith("vertebrae_")]
    middles = [axis.spans[key].low.at_mm + axis.spans[key].high.at_mm for key in spine]
    assert middles == sorted(middles, reverse=True)
    assert not {"spleen", "gallbladder", "uterus", "kidney_left", "prostate"} & set(in_every_body())
