"""Claims of sentences, and their comparison with facts and with masks."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.volume import CTVolume
from medvlsam2.evaluation.claims.checking import check
from medvlsam2.evaluation.claims.evidence import MaskEvidence, TableEvidence
from medvlsam2.evaluation.claims.reading import Number, Presence, claims_in

SHAPE = (40, 30, 20)


def told(sentence):
    claims = claims_in(sentence)
    there = {(claim.mention.key, claim.is_there) for claim in claims if isinstance(claim, Presence)}
    return there, {(claim.value, claim.unit) for claim in claims if isinstance(claim, Number)}


@pytest.mark.parametrize(
    ("sentence", "there", "numbers"),
    [
        ("There is a 12 mm hepatic cyst.", {("liver_cyst", True)}, {(12.0, "mm")}),
        ("No pleural effusion or ascites.", {("pleural_effusion", False), ("ascites", False)}, set()),
        ("The left kidney is not seen.", {("kidney_left", False)}, set()),
        ("The liver and spleen are seen, 1,121 mL.", {("liver", True), ("spleen", True)}, {(1121.0, "mL")}),
        ("The spleen is enlarged, 147 mm long (limit 130 mm).", {("spleen", True)}, {(147.0, "mm")}),
        ("Not assessed: the gallbladder.", set(), set()),
        ("The gallbladder lies outside the field of view.", set(), set()),
        ("No, the volume of the bladder is not more than 400 mL.", {("urinary_bladder", True)}, set()),
        ("The shortest distance from the liver to the aorta is 12 mm.", {("liver", True), ("aorta", True)}, set()),
        ("There is no mass in the left parotid gland.", {("mass", False)}, set()),
        (
            "Nodule in the right lung, 14 × 9 mm",
            {("lung_nodule", True), ("lung_right", True)},
            {(14.0, "mm"), (9.0, "mm")},
        ),
    ],
)
def test_claims_of_a_sentence(sentence, there, numbers):
    assert told(sentence) == (there, numbers)


@pytest.mark.parametrize(
    ("sentence", "side"),
    [("A left renal cyst is seen.", "left"), ("Cyst in the right kidney.", "right"), ("A hepatic cyst is seen.", None)],
)
def test_side_of_a_finding(sentence, side):
    assert claims_in(sentence)[0].mention.side == side


def verdicts(sentence, evidence):
    return [each.verdict for each in check(sentence, evidence)]


@pytest.fixture
def table():
    def fact(key, **fields):
        return Fact(**{"id": key, "key": key, "kind": "structure", "name": key, "state": "present", **fields})

    cyst = fact("kidney_cyst_left", kind="finding", side="left", longest_mm=23.6, structure="kidney_left")
    return FactTable(
        (
            fact("liver", volume_ml=1121.3, longest_mm=180.2),
            fact("aorta", state="absent"),
            fact("ascites", kind="finding", state="absent"),
            cyst,
            fact("splenomegaly", kind="rule", structure="spleen", value=146.5, unit="mm"),
            fact("spleen", volume_ml=558.0),
        )
    )


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("The liver measures 1,121 mL.", [True, True]),
        ("The liver measures 1,150 mL.", [True, False]),
        ("The liver measures 1.12 L.", [True, True]),
        ("The liver has a diameter of 18 mm.", [True, False]),
        ("The liver has a diameter of 18.0 cm.", [True, True]),
        ("The aorta is seen.", [False]),
        ("The aorta is not seen.", [True]),
        ("There is no ascites.", [True]),
        ("Ascites is present.", [False]),
        ("There is a left renal cyst of 24 mm.", [True, True, True]),
        ("There is a right renal cyst of 24 mm.", [True, False, True]),
        ("No renal cyst is seen.", [False]),
        ("The spleen is enlarged, with a length of 147 mm.", [True, True]),
        ("The pancreas is seen.", [None]),
    ],
)
def test_facts_support_a_sentence(table, sentence, right):
    assert verdicts(sentence, TableEvidence(table)) == right


@pytest.fixture
def masks():
    """A liver of 20 x 30 x 40 mm (24 mL) and a cyst in the left kidney, in 2 x 2 x 4 mm voxels."""
    liver, cyst = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    liver[2:12, 5:20, 4:14], cyst[30:33, 5:8, 4:6] = True, True
    volume = CTVolume(np.full(SHAPE, 40, dtype=np.int16), np.diag([-2.0, -2.0, 4.0, 1.0]), "hand made")
    named = {"liver": liver, "kidney_cyst": cyst}
    return MaskEvidence(volume, lambda key: named.get(key, np.zeros(SHAPE, dtype=bool)))


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("The volume of the liver is 24 mL.", [True, True]),
        ("The volume of the liver is 26 mL.", [True, False]),
        ("The liver is not visible.", [False]),
        ("The spleen is normal.", [False]),
        ("There is a left renal cyst.", [True, True]),
        ("There is a right renal cyst.", [True, False]),
        ("Splenomegaly.", [None]),
    ],
)
def test_masks_contradict_a_sentence(masks, sentence, right):
    assert verdicts(sentence, masks) == right


def in_view_by_place(key: str, *, in_view: bool) -> FactTable:
    state = "not assessed" if in_view else "outside the field of view"
    name = vocabulary.STRUCTURES[key].name
    return FactTable((Fact(id=key, key=key, kind="structure", name=name, state=state, in_view=in_view),))


BY_PLACE = "Yes, by its place the L4 vertebra is in the field of view."


@pytest.mark.parametrize(("in_view", "verdict"), [(True, True), (False, False)])
def test_what_is_in_view_by_its_place_is_no_measured_claim_but_a_lie_is_found(in_view: bool, verdict: bool) -> None:
    table = TableEvidence(in_view_by_place("vertebrae_L4", in_view=in_view))
    assert [each.verdict for each in check(BY_PLACE, table)] == [verdict]
    volume = CTVolume(np.zeros((8, 8, 8), dtype=np.int16), np.eye(4), "empty")
    masks = MaskEvidence(volume, lambda _: np.zeros((8, 8, 8), dtype=bool), table)
    assert [each.verdict for each in check(BY_PLACE, masks)] == [verdict], "no mask is no contradiction"
    assert [each.verdict for each in check("Yes, the L4 vertebra is visible.", masks)] == [False], "a mask is claimed"


def test_the_range_of_a_scan_claims_nothing_of_its_vertebrae() -> None:
    text = "The scan covers about C5 to T8, and the S1 vertebra lies about 400 mm below."
    assert claims_in(text) == []
    (claim,) = claims_in(f"No, the S1 vertebra is not visible: {text[0].lower()}{text[1:]}")
    assert isinstance(claim, Presence)
    assert (claim.mention.key, claim.is_there) == ("vertebrae_S1", False)


def test_a_rule_of_an_organ_that_is_denied_does_not_deny_the_organ_but_a_lie_about_the_rule_is_found() -> None:
    def rule(key: str, state: str) -> Fact:
        return Fact(id=key, key=key, kind="rule", name=key, state=state, structure="aorta")  # type: ignore[arg-type]

    aorta = Fact(id="aorta", key="aorta", kind="structure", name="aorta", state="present")
    rules = (rule("ascending_aortic_dilatation", "absent"), rule("descending_aortic_dilatation", "present"))
    table = TableEvidence(FactTable((aorta, *rules, rule("aortic_calcification", "absent"))))
    assert verdicts("No emphysema or calcification of the aorta.", table) == [None, True]
    both = "No dilatation of the ascending aorta or dilatation of the descending thoracic aorta."
    assert sorted(verdicts(both, table)) == [False, True]
    assert verdicts("Calcification of the aorta.", table) == [False, True]
    assert verdicts("The aorta is not visible.", table) == [False]
