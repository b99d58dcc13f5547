"""States of facts on given masks: what is not contoured, not shown, unsure or cut is never called absent or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from medvlsam2.data.facts import Region
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks, given
from medvlsam2.tasks.measure.sources.mask_source import Seen

SHAPE = (40, 30, 50)
VOLUME = CTVolume(np.zeros(SHAPE, dtype=np.int16), np.diag([4.0, 4.0, 5.0, 1.0]), "given")


def block(i: int, k: int = 20, size: int = 6) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[i : i + size, 10 : 10 + size, k : k + size] = True
    return mask


@dataclass
class Counted:
    """Given masks of which some are unsure; it counts what is looked for."""

    masks: GivenMasks
    confidence: Mapping[str, float] = field(default_factory=dict)
    searches: list[tuple[str, ...]] = field(default_factory=list)
    told: tuple[str, ...] | None = None

    @property
    def volume(self) -> CTVolume:
        return self.masks.volume

    @property
    def structures(self) -> Sequence[str]:
        return self.masks.structures if self.told is None else self.told

    @property
    def findings(self) -> Sequence[str]:
        return self.masks.findings

    def knows(self, key: str) -> bool:
        return self.masks.knows(key)

    def why_unknown(self, key: str) -> str:
        return self.masks.why_unknown(key)

    def see(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        self.searches.append(tuple(keys))
        seen = self.masks.see(keys)
        return {key: replace(one, confidence=self.confidence.get(key, one.confidence)) for key, one in seen.items()}

    def glimpses(self, key: str) -> bool:
        return self.masks.glimpses(key)

    def region(self) -> Region | None:
        return self.masks.region()

    def scan_range(self) -> ScanRange | None:
        return self.masks.scan_range()


def source(volume: CTVolume = VOLUME, **confidence: float) -> Counted:
    masks = given({"liver": block(22), "kidney_left": block(4), "kidney_right": block(30), "spleen": block(10, k=44)})
    absent = frozenset({"gallbladder", "brain", "heart"})
    cysts = {"kidney_cyst_left": tuple(given({"small": block(5, size=2), "large": block(4, 30, size=4)}).values())}
    return Counted(GivenMasks(volume, masks, cysts, absent, known_region="abdomen"), confidence)


def test_each_thing_is_looked_for_once_and_together() -> None:
    masks = source()
    facts = Facts(masks)
    facts.structures(("liver", "kidney_left", "kidneys"))
    facts.structure("kidney_right")
    assert masks.searches == [("liver", "kidney_left", "kidney_right")]
    assert {fact.id for fact in facts.known()} == {"liver", "kidney_left", "kidneys", "kidney_right"}


def test_states() -> None:
    facts = Facts(source())
    keys = ("liver", "gallbladder", "brain", "pancreas")
    states = {key: facts.structure(key).state for key in keys}
    assert states == {
        "liver": "present",
        "gallbladder": "absent",
        "brain": "outside the field of view",
        "pancreas": "not assessed",
    }
    assert "not among the labels" in facts.structure("pancreas").reason


def test_a_slab_does_not_show_what_is_absent() -> None:
    slab = CTVolume(np.zeros(SHAPE, dtype=np.int16), np.diag([4.0, 4.0, 1.0, 1.0]), "slab")
    fact = Facts(source(slab)).structure("gallbladder")
    assert fact.state == "outside the field of view"
    assert "only 50 mm high" in fact.reason


def test_absent_needs_a_scan_that_shows_the_whole_neighbour() -> None:
    masks = source()
    cut = {**masks.masks.masks, **given({"liver": block(22, k=44)})}
    fact = Facts(replace(masks, masks=replace(masks.masks, masks=cut))).structure("gallbladder")
    assert fact.state == "outside the field of view"
    assert "whole liver" in fact.reason


def test_a_finding_is_absent_only_where_its_organ_is_seen() -> None:
    masks = source()
    known = replace(masks.masks, lesions={}, every_finding_is_given=True)
    (fact,) = Facts(replace(masks, masks=known)).finding("kidney_cyst_right")
    assert fact.state == "absent"
    slab = replace(known, volume=CTVolume(VOLUME.hu, np.diag([4.0, 4.0, 1.0, 1.0]), "slab"))
    (fact,) = Facts(replace(masks, masks=slab)).finding("kidney_cyst_right")
    assert fact.state == "absent", "the kidney is seen, however low the scan is"
    one_kidney = {key: mask for key, mask in known.masks.items() if key != "kidney_right"}
    gone = replace(known, masks=one_kidney, absent=known.absent | {"kidney_right"})
    (fact,) = Facts(replace(masks, masks=gone)).finding("kidney_cyst_right")
    assert (fact.state, fact.reason) == ("not assessed", "The right kidney is not seen.")


@pytest.mark.parametrize(("key", "word"), [("liver", "there"), ("gallbladder", "absent")])
def test_what_is_wrong_more_often_than_right_is_not_stated(key: str, word: str) -> None:
    facts = Facts(source(liver=0.4, gallbladder=0.4))
    fact = facts.structure(key)
    assert fact.state == "not assessed"
    assert f"is {word}: of such answers only 40% were right" in fact.reason
    assert (fact.volume_ml is not None) == (key == "liver"), "an unsure mask is still measured"


def test_what_the_scan_cuts_is_said() -> None:
    fact = Facts(source()).structure("spleen")
    assert (fact.state, fact.cut) == ("present", True)
    assert "ends within the spleen" in fact.reason


def test_a_whole_tells_which_part_is_missing() -> None:
    masks = source()
    facts = Facts(
        replace(
            masks,
            masks=replace(masks.masks, masks=given({"kidney_left": block(4)}), absent=frozenset({"kidney_right"})),
        )
    )
    both = facts.structure("kidneys")
    assert (both.state, both.volume_ml) == ("present", facts.structure("kidney_left").volume_ml)
    assert "without the right kidney" in both.reason


def test_lesions_are_numbered_by_size_and_have_masks() -> None:
    facts = Facts(source())
    large, small = facts.finding("kidney_cyst_left")
    assert [large.id, small.id] == ["kidney_cyst_left.1", "kidney_cyst_left.2"]
    assert (large.volume_ml, small.volume_ml) == (pytest.approx(64 * 0.08), pytest.approx(8 * 0.08))
    assert (large.structure, large.side) == ("kidney_left", "left")
    assert np.array_equal(facts.mask("kidney_cyst_left.2"), block(5, size=2))
    assert facts.finding("kidney_cyst") == (large, small), "both sides together"


def test_rules_measure_only_what_is_told_reliably() -> None:
    masks = source()
    fact = Facts(replace(masks, told=("liver",))).rule("splenomegaly")
    assert fact.state == "not assessed"
    assert "spleen is not among what is told reliably" in fact.reason
    assert masks.searches == [], "and do not search for the rest"
    assert "whole spleen" in Facts(masks).rule("splenomegaly").reason


def test_everything_holds_each_fact_once() -> None:
    facts = Facts(source())
    table = facts.everything()
    assert {"liver", "kidney_left", "kidney_cyst_left.1", "phase", "splenomegaly", "gallbladder"} <= {
        f.id for f in table
    }
    assert "brain" not in table, "what the scan cannot show is left out"
    assert all(fact.reason for fact in table if fact.state == "not assessed")


@pytest.mark.parametrize(("i", "host", "side"), [(4, "hip_left", "left"), (12, "hip_right", "right")])
def test_a_lesion_lies_in_the_bone_that_holds_most_of_it(i: int, host: str, side: str) -> None:
    bones = given({"hip_left": block(0, size=8), "hip_right": block(14, size=8), "sacrum": block(8)})
    lesion = given({"lesion": block(i)})["lesion"]
    masks = GivenMasks(VOLUME, bones, {"bone_metastasis": (lesion,)}, known_region="pelvis")
    (fact,) = Facts(masks).finding("bone_metastasis")
    assert (fact.structure, fact.side) == (host, side)
