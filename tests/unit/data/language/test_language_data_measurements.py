"""Texts of measured facts: short, true and deterministic; corrupted facts have the errors of a model's masks."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy, chat, corpus, measurements
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.errors import InvalidPrompt

MAX_TOKENS_OF_A_TRUNK = 220
PAIRS = (
    *("lung", "kidney", "adrenal_gland", "clavicula", "scapula", "autochthon", "iliopsoas", "iliac_artery"),
    *("iliac_vena", "hip", "femur", "gluteus_maximus", "gluteus_medius", "gluteus_minimus"),
)
TRUNK = (
    *(f"{name}_{side}" for name in PAIRS for side in ("left", "right")),
    *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
    *(f"vertebrae_{name}" for name in ("T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "L1")),
    *("heart", "aorta", "liver", "gallbladder", "spleen", "pancreas", "stomach", "urinary_bladder", "prostate"),
    *("spinal_cord", "trachea", "sternum", "superior_vena_cava", "esophagus", "duodenum", "small_bowel", "colon"),
    *("inferior_vena_cava", "portal_vein_and_splenic_vein", "sacrum", "costal_cartilages"),
)
"""What a phantom of the trunk holds."""


def lesion(kind: str, structure: str, diameter_mm: float, label_value: int) -> Lesion:
    return Lesion(
        kind=kind,
        structure=structure,
        side=vocabulary.STRUCTURES[structure].side,
        center_ijk=(1, 2, 3),
        center_ras=(1.0, 2.0, 3.0),
        diameter_mm=diameter_mm,
        mean_hu=8.4,
        label_value=label_value,
    )


def abdomen() -> ScanFacts:
    return ScanFacts(
        region="abdomen",
        phase="portal venous",
        volumes_ml={
            **{f"vertebrae_{name}": 30.0 for name in ("L1", "T12", "L3")},
            **{f"rib_{side}_{number}": 9.0 for side in ("left", "right") for number in (10, 11, 12)},
            "kidney_right": 156.0,
            "kidney_left": 164.0,
            "spleen": 211.7,
            "adrenal_gland_left": 4.0,
            "adrenal_gland_right": 4.5,
            "liver": 1483.0,
            "skeletal_muscle": 9000.0,
            "duodenum": 60.0,
        },
        absent=("gallbladder", "brain"),
        lesions=(
            lesion("fracture", "vertebrae_L1", 20.0, 1),
            lesion("cyst", "kidney_left", 11.8, 2),
            lesion("cyst", "kidney_left", 24.2, 3),
            lesion("cyst", "liver", 30.0, 4),
        ),
        lesions_known=True,
    )


def test_the_measured_text_goes_from_head_to_foot() -> None:
    assert measurements.measured_text(abdomen()) == (
        "Measured: region abdomen, phase portal venous. "
        "Volumes in mL: liver 1480, spleen 210, left kidney 160, right kidney 160. "
        "Also seen: adrenal glands, duodenum. Vertebrae T12 to L1, L3. Ribs 10 to 12. Absent: gallbladder. "
        "Findings: cyst liver 30 mm 8 HU; 2 cysts left kidney 24 12 mm 8 HU; fracture L1 vertebra."
    )


def test_no_findings_is_stated_only_if_all_findings_are_known() -> None:
    facts = ScanFacts(region="chest", volumes_ml={"heart": 601.0, "rib_left_3": 9.0}, lesions_known=True)
    text = "Measured: region chest. Volumes in mL: heart 600. Left ribs 3"
    assert measurements.measured_text(facts) == f"{text}. Findings: none."
    unknown = ScanFacts(region="chest", volumes_ml=facts.volumes_ml)
    assert measurements.measured_text(unknown) == f"{text}."


def test_organs_are_listed_whole_and_by_side() -> None:
    facts = ScanFacts(
        region="chest",
        volumes_ml={"lungs": 4000.0, "lung_left": 1900.0, "lung_right": 2100.0, "lung_upper_lobe_left": 900.0},
    )
    assert measurements.measured_text(facts) == (
        "Measured: region chest. Volumes in mL: left lung 1900, right lung 2100."
    )


def test_the_order_of_the_facts_does_not_matter() -> None:
    facts = abdomen()
    turned = ScanFacts(
        region=facts.region,
        phase=facts.phase,
        volumes_ml=dict(reversed(facts.volumes_ml.items())),
        absent=facts.absent[::-1],
        lesions=facts.lesions[::-1],
        lesions_known=True,
    )
    assert measurements.measured_text(turned) == measurements.measured_text(facts)


def test_a_whole_trunk_is_short() -> None:
    tokenizer = tokenizers.train_tokenizer(corpus.sentences(seed=0, count=4000), 3072)
    facts = ScanFacts(
        region="trunk",
        volumes_ml=dict.fromkeys(TRUNK, 123.0),
        absent=("uterus",),
        lesions=(lesion("cyst", "liver", 24.0, 1), lesion("nodule", "lung_left", 11.0, 2)),
    )
    assert len(TRUNK) > 80
    text = measurements.measured_text(facts)
    assert len(tokenizer(text)["input_ids"]) <= MAX_TOKENS_OF_A_TRUNK


def test_every_structure_can_be_listed() -> None:
    for key in anatomy.single_structures():
        text = measurements.measured_text(ScanFacts(region="trunk", volumes_ml={key: 12.0}))
        assert key == "body" or text != "Measured: region chest, abdomen and pelvis.", key
        assert "_" not in text
        assert "  " not in text


def test_corrupted_facts_are_close_to_the_true_facts() -> None:
    facts = abdomen()
    rng = np.random.default_rng(0)
    drawn = [measurements.corrupted(facts, rng) for _ in range(2000)]
    ratios = np.log([each.volumes_ml["liver"] / facts.volumes_ml["liver"] for each in drawn])
    assert abs(ratios.mean()) < 0.01
    assert 0.07 < ratios.std() < 0.09
    seen = Counter(key for each in drawn for key in each.volumes_ml)
    assert seen["liver"] == len(drawn)
    assert 0.04 < 1 - seen["adrenal_gland_left"] / len(drawn) < 0.1
    assert 0.01 < seen["gallbladder"] / len(drawn) < 0.1
    assert seen["brain"] == 0
    found = Counter(finding.label_value for each in drawn for finding in each.lesions)
    assert all(0.03 < 1 - found[label] / len(drawn) < 0.08 for label in (1, 2, 3, 4))
    assert {each.phase for each in drawn} == {None, "portal venous"}
    for each in drawn:
        assert not set(each.volumes_ml) & set(each.absent)
        assert {*each.volumes_ml, *each.absent} == {*facts.volumes_ml, *facts.absent}


def test_answers_give_the_measured_sizes() -> None:
    facts = abdomen()
    for seed in range(20):
        measured = measurements.corrupted(facts, np.random.default_rng(seed))
        told = measurements.as_measured(facts, measured)
        assert set(told.volumes_ml) == set(facts.volumes_ml)
        assert [each.label_value for each in told.lesions] == [each.label_value for each in facts.lesions]
        assert {*measured.lesions} <= {*told.lesions}
        assert all(told.volumes_ml[key] == ml for key, ml in measured.volumes_ml.items() if key in facts.volumes_ml)
        assert (told.phase, told.absent) == (facts.phase, facts.absent)


def test_the_same_random_state_corrupts_in_the_same_way() -> None:
    first, second = (measurements.corrupted(abdomen(), np.random.default_rng(7)) for _ in range(2))
    assert first == second != abdomen()


def test_measured_facts_stand_before_the_question() -> None:
    text = measurements.measured_text(abdomen())
    question = "Is the liver visible?"
    assert chat.turn(question, measured=text) == f"{text}\n{chat.turn(question)}"
    assert chat.prompt(question, 2, measured=text) == chat.prefix(2) + text + "\n" + chat.turn(question)
    assert chat.conversation(question, "Yes", 0, measured=text).endswith(f"assistant\nYes{chat.TURN_END}")
    assert chat.turn(question, measured=None) == chat.turn(question)


@pytest.mark.parametrize("measured", ["", f"Measured: {chat.SEG}"])
def test_bad_measured_text_is_refused(measured: str) -> None:
    with pytest.raises(InvalidPrompt, match=re.escape(repr(measured) if not measured else chat.SEG)):
        chat.turn("Is the liver visible?", measured=measured)
