"""Object expressions mean the right objects of a body whose parts are known in mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from medvlsam2.data.facts import Region
from medvlsam2.data.query.reading import read_object
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.objects.find import FoundObject, find_object

from .conftest import BODY, Solid, ball

Body = Callable[..., Facts]
CYSTS = {
    "liver_cyst": [ball(20, 20, 40, 8, 5), ball(70, 20, 20, 12, 10)],
    "kidney_cyst_left": [ball(-45, -40, -5, 9, 0), ball(-45, -40, -45, 6, 20)],
}
"""In the liver one near the middle and a larger one near the edge; in the left kidney an upper and a lower one."""
SPINE = {f"vertebrae_{level}": [ball(0, -75, z, 9, 300)] for level, z in (("T12", 40), ("L1", 15), ("L2", -10))}


def found(facts: Facts, text: str) -> FoundObject:
    return find_object(read_object(text), facts)


def voxels(facts: Facts, solid: Solid) -> np.ndarray:
    return solid.drawn(facts.volume.affine)


def is_drawn(facts: Facts, one: FoundObject, *solids: Solid) -> bool:
    assert one.mask is not None, one.reason
    return bool((one.mask.whole() == np.logical_or.reduce([voxels(facts, solid) for solid in solids])).all())


@pytest.mark.parametrize(
    ("text", "key", "number"),
    [
        ("largest kidneys", "kidney_right", 0),
        ("smallest kidneys", "kidney_left", 0),
        ("highest kidneys", "kidney_left", 0),
        ("leftmost kidneys", "kidney_left", 0),
        ("lowest cyst above left kidney", "liver_cyst", 1),
        ("highest cyst behind liver", "kidney_cyst_left", 0),
        ("rightmost kidneys", "kidney_right", 0),
        ("kidneys on the left", "kidney_left", 0),
        ("kidneys left of aorta", "kidney_left", 0),
        ("kidneys right of aorta", "kidney_right", 0),
        ("kidneys nearest to spleen", "kidney_left", 0),
        ("kidneys farthest from spleen", "kidney_right", 0),
        ("largest liver cyst", "liver_cyst", 1),
        ("second largest liver cyst", "liver_cyst", 0),
        ("highest liver cyst", "liver_cyst", 0),
        ("liver cyst nearest to liver", "liver_cyst", 1),
        ("liver cyst farthest from liver", "liver_cyst", 0),
        ("cyst in left kidney nearest to spleen", "kidney_cyst_left", 0),
        ("densest kidney cyst", "kidney_cyst_left", 1),
        ("least dense kidney cyst", "kidney_cyst_left", 0),
        ("cyst larger than 22 mm", "liver_cyst", 1),
        ("smallest cyst", "kidney_cyst_left", 1),
        ("rightmost cyst", "liver_cyst", 1),
        ("foremost cyst on the left", "kidney_cyst_left", 0),
        ("largest cyst below liver", "kidney_cyst_left", 1),
        ("cyst touching left kidney on the left in smallest kidneys larger than 15 mm", "kidney_cyst_left", 0),
    ],
)
def test_one_of_several_is_chosen(body: Body, text: str, key: str, number: int):
    facts = body(CYSTS)
    one = found(facts, text)
    assert (one.state, one.keys[0]) == ("present", key)
    assert is_drawn(facts, one, {**BODY, **CYSTS}[key][number])


def test_all_that_fits_is_found(body: Body):
    facts = body(CYSTS)
    assert len(found(facts, "cyst").things) == 4
    assert is_drawn(facts, found(facts, "cyst in left kidney"), *CYSTS["kidney_cyst_left"])
    assert is_drawn(facts, found(facts, "cyst in liver"), *CYSTS["liver_cyst"])
    assert found(facts, "liver cyst and left kidney cyst").names == "liver cyst, left kidney cyst"
    assert len(found(facts, "kidneys").things) == 2


def test_vertebrae_are_counted_along_the_spine(body: Body):
    facts = body(SPINE)
    assert found(facts, "vertebrae next below T12 vertebra").keys == ("vertebrae_L1",)
    assert found(facts, "vertebrae next above L1 vertebra").keys == ("vertebrae_T12",)
    assert found(facts, "lowest vertebrae").keys == ("vertebrae_L2",)
    assert found(facts, "vertebrae at the level of spleen").keys == ("vertebrae_T12", "vertebrae_L1")
    below = found(facts, "vertebrae next below L2 vertebra")
    assert (below.state, below.mask) == ("not assessed", None)


def test_the_lowest_rib_is_the_last_of_the_series(body: Body):
    """A rib that slopes down may have a lower centre than the short one after it."""
    ribs = {"rib_left_11": [ball(-80, -40, -40, 9)], "rib_left_12": [ball(-40, -70, -20, 9)]}
    assert found(body(ribs), "lowest ribs").keys == ("rib_left_12",)
    assert found(body(ribs), "highest left ribs").keys == ("rib_left_11",)
    assert found(body(ribs), "left ribs next below right rib 11").mask is None


def test_what_is_left_out_is_not_named(body: Body):
    one = found(body(), "kidneys without left kidney")
    assert one.names == "right kidney"
    assert [thing.key for thing in one.things] == ["kidney_right"]


def test_one_of_a_pair_is_not_chosen_without_the_other(body: Body):
    one = found(body(without=("kidney_left",)), "largest kidneys")
    assert (one.state, one.mask) == ("not assessed", None)


def test_there_is_nothing_below_the_last_rib(body: Body):
    one = found(body(), "ribs next below left rib 12")
    assert (one.state, one.reason) == ("absent", "There is no rib below left rib 12.")


def test_halves_and_thirds_are_of_the_patients_axes(body: Body):
    facts = body()
    upper, lower = found(facts, "upper half of spleen"), found(facts, "lower half of spleen")
    assert upper.mask is not None
    assert lower.mask is not None
    assert upper.mask.overlap(lower.mask) == 0
    assert upper.things[0].shape.centre_ras[2] > 25 > lower.things[0].shape.centre_ras[2]
    assert is_drawn(facts, found(facts, "upper half of spleen and lower half of spleen"), *BODY["spleen"])
    thirds = [found(facts, f"{part} third of liver") for part in ("upper", "middle", "lower")]
    assert sum(one.mask.voxels for one in thirds if one.mask is not None) == voxels(facts, BODY["liver"][0]).sum()
    assert found(facts, "left half of liver").things[0].shape.centre_ras[0] < 40
    assert found(facts, "front half of liver").things[0].shape.centre_ras[1] > 20


def test_each_of_several_has_its_own_half(body: Body):
    left, right = found(body(), "upper half of kidneys").things
    assert left.shape.ends_mm(2) == (pytest.approx(-25, abs=3), pytest.approx(5, abs=3))
    assert right.shape.ends_mm(2) == (pytest.approx(-35, abs=3), pytest.approx(0, abs=6))


def test_what_is_left_out_is_cut_out(body: Body):
    facts = body(CYSTS)
    one = found(facts, "left kidney without left kidney cyst")
    assert one.mask is not None
    left_out = np.logical_or.reduce([voxels(facts, cyst) for cyst in CYSTS["kidney_cyst_left"]])
    assert (one.mask.whole() == (voxels(facts, BODY["kidney_left"][0]) & ~left_out)).all()
    assert found(facts, "left kidney without left kidney").state == "absent"


def test_a_part_by_level_is_cut_from_a_long_object(body: Body):
    one = found(body(), "aorta at the level of spleen")
    low, high = one.things[0].shape.ends_mm(2)
    assert (low, high) == (pytest.approx(-5, abs=2.6), pytest.approx(55, abs=2.6))


def test_the_two_of_a_pair_are_cut_at_a_level(body: Body):
    left, right = found(body(SPINE), "kidneys at the level of L2 vertebra").things
    assert left.shape.ends_mm(2) == right.shape.ends_mm(2) == (pytest.approx(-19, abs=4.1), pytest.approx(-1, abs=4.1))


def test_a_vertebra_is_at_the_level_of_a_small_lesion(body: Body):
    facts = body({**SPINE, "liver_cyst": [ball(20, 20, 42, 4)]})
    assert found(facts, "vertebrae at the level of liver cyst").keys == ("vertebrae_T12",)


def test_parts_by_region_need_a_border(body: Body):
    unknown = found(body(), "abdominal part of aorta")
    assert (unknown.state, unknown.mask) == ("not assessed", None)
    assert "neither T12, L1 nor a base of the lungs" in unknown.reason
    facts = body({**SPINE, "sacrum": [ball(0, -70, -80, 15)]})
    abdominal, thoracic, pelvic = (
        found(facts, f"{part} part of aorta") for part in ("abdominal", "thoracic", "pelvic")
    )
    assert abdominal.things[0].shape.ends_mm(2) == (pytest.approx(-62, abs=3), pytest.approx(26, abs=3))
    assert thoracic.things[0].shape.ends_mm(2)[0] == pytest.approx(30, abs=3)
    assert pelvic.things[0].shape.ends_mm(2)[1] == pytest.approx(-68, abs=3)


def test_the_base_of_the_lungs_is_a_border_where_no_vertebra_is_seen(body: Body):
    lungs = {"lung_left": [ball(-50, 0, 90, 45)], "lung_right": [ball(50, 0, 90, 40)]}
    facts = body(lungs, absent=["sacrum"])
    assert found(facts, "abdominal part of aorta").things[0].shape.ends_mm(2)[1] == pytest.approx(42.5, abs=3)
    assert found(facts, "thoracic part of aorta").things[0].shape.ends_mm(2)[0] == pytest.approx(47.5, abs=3)


def test_lungs_that_the_scan_cuts_below_have_no_base(body: Body):
    cut = {"lung_left": [Solid((-50, 0, -60), (30, 30, 90))], "lung_right": [Solid((50, 0, -60), (30, 30, 90))]}
    facts = body(cut, without=("kidney_left", "kidney_right", "liver", "spleen"), absent=["sacrum"])
    whole, thoracic = found(facts, "aorta"), found(facts, "thoracic part of aorta")
    assert whole.mask is not None
    assert thoracic.mask is not None
    assert whole.mask.voxels == thoracic.mask.voxels
    assert found(facts, "abdominal part of aorta").state == "absent"


@pytest.mark.parametrize(
    ("text", "state", "reason"),
    [
        ("liver cyst larger than 30 mm", "absent", "No liver cyst is larger than 30 mm; the largest has 27 mm."),
        ("spleen cyst", "absent", "No spleen cyst is seen in this scan."),
        ("cyst in spleen", "absent", "No cyst is seen in the spleen."),
        ("second largest pancreas", "not assessed", "pancreas is not among the labels"),
        ("liver cyst touching spleen", "absent", "No liver cyst is seen touching the spleen."),
        ("pancreas", "not assessed", "pancreas is not among the labels"),
        ("kidneys nearest to pancreas", "not assessed", "pancreas is not among the labels"),
        ("liver without pancreas", "not assessed", "pancreas is not among the labels"),
        ("largest vertebrae", "not assessed", "The single members of the vertebrae are not all known"),
        ("second largest liver", "absent", "Only one liver is seen, so there is no second one."),
    ],
)
def test_what_is_not_found_says_why(body: Body, text: str, state: str, reason: str):
    one = found(body(CYSTS), text)
    assert (one.state, one.mask) == (state, None)
    assert reason in one.reason


def test_a_choice_says_what_it_was_made_from(body: Body):
    one = found(body(without=("kidney_left",), absent=("kidney_left",)), "largest kidneys")
    assert one.keys == ("kidney_right",)
    assert one.notes == ("Of both only one is seen: the left kidney is absent.",)


def test_a_lesion_without_a_side_gets_it_from_the_middle_of_the_body(body: Body):
    facts = body({"lung_nodule": [ball(-30, 0, 60, 6), ball(30, 0, 60, 8)]})
    assert is_drawn(facts, found(facts, "lung nodule on the left"), ball(-30, 0, 60, 6))
    blind = body({"lung_nodule": [ball(-30, 0, 60, 6)]}, without=("spinal_cord", "kidney_left"))
    one = found(blind, "lung nodule on the left")
    assert (one.state, one.reason) == ("not assessed", "Nothing in this scan tells left from right.")


@dataclass(frozen=True, eq=False)
class Some(GivenMasks):
    """Given masks of a source that knows no cysts of the spleen."""

    def knows(self, key: str) -> bool:
        return key != "spleen_cyst" and super().knows(key)


def of_some(facts: Facts, known_region: Region = "abdomen") -> Facts:
    """The facts of a body whose source does not know one kind of cyst."""
    given = facts.source
    assert isinstance(given, GivenMasks)
    return Facts(Some(given.volume, given.masks, given.lesions, known_region=known_region, every_finding_is_given=True))


def test_a_general_word_is_absent_only_if_every_kind_is_assessed(body: Body):
    assert found(body(), "cyst").state == "absent"
    one = found(of_some(body()), "cyst")
    reason = "No cyst is seen among the kinds that are assessed; not assessed: spleen cyst."
    assert (one.state, one.mask, one.reason) == ("not assessed", None, reason)
    assert found(of_some(body()), "cyst in liver").state == "absent"


def test_a_side_that_is_not_seen_is_a_kind_that_is_not_assessed(body: Body):
    one = found(body(without=("kidney_right",)), "cyst")
    reason = "No cyst is seen among the kinds that are assessed; not assessed: kidney cyst."
    assert (one.state, one.reason) == ("not assessed", reason)


def test_of_a_general_word_that_is_present_the_other_kinds_are_told(body: Body):
    one = found(of_some(body({"liver_cyst": [ball(20, 20, 40, 8, 5)]})), "cyst")
    assert (one.state, one.notes) == ("present", ("Not assessed: spleen cyst.",))


def test_a_kind_that_the_scan_cannot_show_leaves_a_general_word_absent(body: Body):
    facts = of_some(body(without=("spleen", "kidney_left", "kidney_right")), "pelvis")
    assert found(facts, "cyst").state == "absent"
