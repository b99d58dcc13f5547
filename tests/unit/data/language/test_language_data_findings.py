"""Every kind of finding has its usual nouns and is parsed back from every style of report; there are many wordings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import (
    anatomy,
    chat,
    clinical,
    questions,
    report,
)
from medvlsam2.data.language.asking import question_wording
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.reporting import report_wording
from medvlsam2.data.language.wording import Wording


def lesion(kind: str, structure: str, diameter_mm: float, label_value: int = 1) -> Lesion:
    return Lesion(
        kind=kind,
        structure=structure,
        side=vocabulary.STRUCTURES[structure].side,
        center_ijk=(1, 2, 3),
        center_ras=(1.0, 2.0, 3.0),
        diameter_mm=diameter_mm,
        mean_hu=10.0,
        label_value=label_value,
    )


def two_cysts() -> ScanFacts:
    return ScanFacts(
        region="abdomen",
        phase="portal venous",
        volumes_ml={"liver": 1500.0, "spleen": 210.0, "kidney_left": 150.0, "kidney_right": 200.0},
        absent=("gallbladder", "brain", "heart", "mandible"),
        lesions=(lesion("cyst", "kidney_left", 24.2, 1), lesion("cyst", "kidney_left", 11.8, 2)),
        lesions_known=True,
    )


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("Mild cardiomegaly.", ("enlargement", "heart", None)),
        ("The heart is enlarged.", ("enlargement", "heart", None)),
        ("The spleen is markedly enlarged.", ("enlargement", "spleen", None)),
        ("Left-sided pneumothorax.", ("pneumothorax", "lung_left", "left")),
        ("Lungs: Airspace consolidation in the right lung.", ("consolidation", "lung_right", "right")),
        ("A 12 mm nodule is seen in the right lung.", ("nodule", "lung_right", "right")),
        ("Within the liver there is a 9 mm cyst.", ("cyst", "liver", None)),
        ("Coronary calcification.", ("calcification", "coronary_arteries", None)),
        ("Free fluid in the abdomen.", ("ascites", "body", None)),
        ("The urinary bladder is distended.", ("dilatation", "urinary_bladder", None)),
        ("Soft-tissue sarcoma in the muscle on the left side.", ("sarcoma", "skeletal_muscle", "left")),
        ("An L2 vertebral fracture is seen.", ("fracture", "vertebrae_L2", None)),
        ("Liver: Normal.", ("normal", "liver", None)),
        ("There is no gallbladder.", ("absent", "gallbladder", None)),
        ("No gallbladder in this volume.", ("absent", "gallbladder", None)),
        ("A 12 mm left renal cyst is seen.", ("cyst", "kidney_left", "left")),
        ("Two hepatic metastases are present.", ("metastasis", "liver", None)),
        ("There is a gallstone.", ("stone", "gallbladder", None)),
        ("Right pleural effusion.", ("effusion", "lung_right", "right")),
        ("There is a fracture of left rib 7.", ("fracture", "rib_left_7", "left")),
        ("The gallbladder is not seen.", ("absent", "gallbladder", None)),
        ("The kidneys and spleen are normal.", ("normal", "kidney_right", "right")),
    ],
)
def test_findings_are_parsed(text: str, finding: tuple[str, str, str | None]) -> None:
    assert finding in clinical.parse_findings(text)


def test_a_denied_finding_is_not_parsed() -> None:
    denied = "There is no left renal stone. No fracture. No cyst in the liver. No cardiomegaly or ascites."
    assert not clinical.parse_findings(denied)
    assert not clinical.parse_findings("CT of the abdomen without contrast.")


def every_finding() -> list[Lesion]:
    keys = [*anatomy.single_structures(), "body", "skeletal_muscle"]
    found = []
    for kind, families in lesions.HOSTS.items():
        for family in families:
            for key in keys:
                if lesions.host_family(key) == family:
                    sides = ("left", "right") if key == "skeletal_muscle" else (anatomy.side(key),)
                    found += [replace(lesion(kind, key, 24.2), side=side) for side in sides]
    return found


@pytest.mark.parametrize("style", get_args(chat.ReportStyle))
@pytest.mark.parametrize("found", every_finding(), ids=lambda found: f"{found.kind}-{found.structure}-{found.side}")
def test_every_kind_is_parsed_back_from_every_style(found: Lesion, style: chat.ReportStyle) -> None:
    several = (found, replace(found, label_value=2, diameter_mm=11.0))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        facts = ScanFacts(region="trunk", lesions=several[: 1 + seed % 2], lesions_known=True)
        written = report(facts, rng, style)
        assert clinical.parse_findings(written.text) == clinical.stated_findings(facts), written.text
        told = [each for each in written.findings if each.lesion_label is not None]
        assert [each.structure_key for each in told] == [found.structure]


def test_kinds_have_their_usual_nouns() -> None:
    spoken = {(found.kind, found.structure, found.side): lesions.nouns(found)[0] for found in every_finding()}
    expected = {
        ("enlargement", "heart", None): "cardiomegaly",
        ("enlargement", "spleen", None): "splenomegaly",
        ("pneumothorax", "lung_left", "left"): "left pneumothorax",
        ("effusion", "lung_right", "right"): "right pleural effusion",
        ("calcification", "coronary_arteries", None): "coronary artery calcification",
        ("ascites", "body", None): "ascites",
        ("dissection", "aorta", None): "aortic dissection",
        ("sarcoma", "skeletal_muscle", "left"): "soft-tissue sarcoma on the left side",
        ("stone", "gallbladder", None): "gallstone",
        ("hydronephrosis", "kidney_left", "left"): "left hydronephrosis",
        ("mass", "larynx", None): "laryngeal mass",
    }
    assert {key: spoken[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("key", "kind", "structure"),
    [
        ("cardiomegaly", "enlargement", "heart"),
        ("splenomegaly", "enlargement", "spleen"),
        ("spleen_cyst", "cyst", "spleen"),
        ("hydronephrosis_left", "hydronephrosis", "kidney_left"),
        ("aortic_dissection", "dissection", "aorta"),
        ("aortic_aneurysm", "aneurysm", "aorta"),
        ("coronary_calcification", "calcification", "coronary_arteries"),
        ("consolidation_right", "consolidation", "lung_right"),
        ("pneumothorax_left", "pneumothorax", "lung_left"),
        ("pleural_effusion_right", "effusion", "lung_right"),
        ("gallstone", "stone", "gallbladder"),
        ("liver_metastasis", "metastasis", "liver"),
    ],
)
def test_every_noun_of_a_named_finding_is_in_the_vocabulary(key: str, kind: str, structure: str) -> None:
    for noun in lesions.nouns_of(kind, structure):
        named = vocabulary.lookup(noun)
        assert named is not None, noun
        assert named.key == key, noun


def test_there_are_fifty_wordings_of_every_kind() -> None:
    topics = {name: each for name, each in vars(question_wording).items() if isinstance(each, Wording)}
    assert len(topics) > 15
    tables = {**topics, **report_wording.KINDS, "request": chat.SEGMENTATION_FORMS}
    few = {name: len(each.patterns) for name, each in tables.items() if len(each.patterns) < 50}
    assert not few
    assert not {name for name, each in tables.items() if each.canonical not in each.patterns}


def test_wordings_are_drawn_and_half_of_them_are_canonical() -> None:
    rng = np.random.default_rng(0)
    asked = Counter(question_wording.ANY_ABNORMALITY.draw(rng) for _ in range(3000))
    assert len(asked) == len(question_wording.ANY_ABNORMALITY.patterns)
    assert 0.45 < asked["Is any abnormality seen?"] / asked.total() < 0.56


def test_styles_of_reports_are_asked_for() -> None:
    asked = {style: chat.report_question(style) for style in get_args(chat.ReportStyle)}
    assert len(set(asked.values())) == len(asked)
    assert chat.report_question() == asked["narrative"]
    texts = {style: report(two_cysts(), np.random.default_rng(0), style).text for style in asked}
    assert len(texts["terse"]) < len(texts["narrative"])
    assert "\nKidneys: " in texts["structured"]
    assert "\n" not in texts["narrative"]


def test_no_question_asks_for_a_place_that_the_noun_includes() -> None:
    aneurysm = lesion("aneurysm", "aorta", 50.0, 1)
    fracture = lesion("fracture", "vertebrae_L2", 20.0, 2)
    spread = lesion("metastasis", "vertebrae_L3", 20.0, 3)
    facts = ScanFacts(region="abdomen", lesions=(aneurysm, fracture, spread), lesions_known=True)
    asked = [each for seed in range(60) for each in questions(facts, np.random.default_rng(seed))]
    placed = " ".join(each.question for each in asked if each.topic == "place")
    assert "fracture" in placed
    assert "aneurysm" not in placed
    assert "count" not in {each.topic for each in asked}


def test_wrong_choices_are_hard() -> None:
    facts = two_cysts()
    chosen: dict[str, set[str]] = {}
    for seed in range(300):
        for asked in questions(facts, np.random.default_rng(seed)):
            chosen.setdefault(asked.topic, set()).update(asked.choices)
    assert {"left kidney", "right kidney"} <= chosen["place"]
    assert chosen["side"] == {"left", "right", "both"}
    assert {"stone", "hydronephrosis"} <= chosen["abnormality"]
    assert {"13 mm", "17 mm", "34 mm", "44 mm"} <= chosen["size"]
    assert chosen["count"] == {"one", "two", "three", "four"}
