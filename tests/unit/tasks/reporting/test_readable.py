"""Reports read as a radiologist writes them: by organ system, each thing once, and nothing that nobody expects."""

from __future__ import annotations

import re

import pytest
from tests.unit.tasks.questions.conftest import facts_of_phantom

from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.grounded import Draft
from medvlsam2.data.language.grounded.patterns import STYLES
from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.reporting.choosing import FirstLines
from medvlsam2.tasks.reporting.writing import WrittenReport, write_report


def organ(key: str, volume_ml: float | None = None, *, cut: bool = False) -> Fact:
    name = " ".join(reversed(key.rsplit("_", 1))) if key.endswith(("left", "right")) else key.replace("_", " ")
    return Fact(
        id=key,
        key=key,
        kind="structure",
        name=name.replace("_", " "),
        state="present",
        volume_ml=volume_ml,
        cut=cut,
    )


def label(key: str, text: str) -> Fact:
    return Fact(id=key, key=key, kind="rule", name=key, state="present", label=text)


def written(*facts: Fact, style: ReportStyle = "narrative") -> WrittenReport:
    report = write_report(Draft(FactTable(facts), style), FirstLines())
    assert report.removed == ()
    return report


@pytest.fixture(scope="module")
def table(small_phantom: Phantom) -> FactTable:
    return facts_of_phantom(small_phantom).everything()


@pytest.mark.parametrize("style", STYLES)
def test_no_sentence_stands_twice_and_no_thing_has_two_sentences_of_one_kind(
    table: FactTable, style: ReportStyle
) -> None:
    report = write_report(Draft(table, style), FirstLines())
    findings = [one for one in report.told if one.section == "findings"]
    assert len({one.text for one in findings}) == len(findings)
    told = [fact_id for one in findings for fact_id in one.fact_ids]
    assert len(set(told)) == len(told)


def test_both_sides_of_a_pair_stand_in_one_sentence() -> None:
    """A list was cut into sentences of one length, with the left adrenal gland in one and the right in the next."""
    keys = ("gallbladder", "pancreas", "adrenal_gland_left", "adrenal_gland_right", "kidney_left", "kidney_right")
    others = (organ("kidneys", 20.0), organ("stomach", 200.0), organ("heart", 500.0))
    report = written(*(organ(key, 10.0) for key in keys), *others)
    for pair in ("adrenal gland", "kidney"):
        (together,) = [one.text for one in report.told if pair in one.text]
        assert re.search(rf"left {pair} \(10.0 mL\)(?:,| and) right {pair} \(10.0 mL\)", together)
    assert "kidneys" not in report.text(by_line=False), "the pair is not told beside its sides"
    (heart,) = [one.text for one in report.told if "heart" in one.text]
    assert "stomach" not in heart, "a sentence tells one organ system"


def test_organs_that_every_scan_of_the_region_cuts_are_not_told_as_partly_shown() -> None:
    facts = (label("region", "abdomen"), organ("lung_left", cut=True), organ("heart", cut=True))
    text = written(*facts, organ("liver", cut=True)).text(by_line=False)
    assert re.findall(r"The (\w+) (?:is|are) only partly shown", text) == ["liver"]


def test_tubes_and_rules_that_nobody_expects_are_left_out() -> None:
    unsure = [
        Fact(id=key, key=key, kind="rule", name=name, state="not assessed", reason="It is unsure.")
        for key, name in (("low_muscle_area", "small muscle area at L3"), ("emphysema", "emphysema"))
    ]
    text = written(organ("colon", 300.0), organ("spinal_cord"), organ("liver", 1500.0), *unsure).text(by_line=False)
    assert "The liver (1,500 mL) is seen. Not assessed: emphysema." in text
    assert "colon" not in text
    assert "spinal cord" not in text


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ("head and neck", ""),
        ("pelvis", ""),
        ("chest", "dilatation of the ascending aorta, calcification of the aorta"),
        ("abdomen and pelvis", "aneurysm of the abdominal aorta, calcification of the aorta"),
    ],
)
def test_rules_of_the_aorta_that_were_not_assessed_are_told_of_the_part_of_the_body_where_they_belong(
    region: str, told: str
) -> None:
    unsure = [
        Fact(id=key, key=key, kind="rule", name=name, state="not assessed", reason="It is unsure.")
        for key, name in (
            ("ascending_aortic_dilatation", "dilatation of the ascending aorta"),
            ("aortic_aneurysm", "aneurysm of the abdominal aorta"),
            ("aortic_calcification", "calcification of the aorta"),
        )
    ]
    text = written(label("region", region), *unsure).text(by_line=False)
    found = re.search(r"Not assessed: ([^.]+)\.", text)
    assert (found[1].replace(" and ", ", ") if found else "") == told


def test_a_structured_report_goes_from_head_to_foot(table: FactTable) -> None:
    report = write_report(Draft(table, "structured"), FirstLines()).text(by_line=True)
    headings = [line.partition(":")[0] for line in report.splitlines() if ":" in line]
    order = ["Aorta", "Liver", "Gallbladder", "Spleen", "Pancreas", "Kidneys", "Stomach", "L1 vertebra"]
    assert [heading for heading in headings if heading in order] == order


def test_the_impression_keeps_the_order_of_importance_and_names_what_the_rule_proves() -> None:
    liver = Fact(
        id="hepatomegaly",
        key="hepatomegaly",
        kind="rule",
        name="hepatomegaly",
        state="present",
        structure="liver",
        value=176.0,
        unit="mm",
        threshold=160.0,
    )
    cyst = Fact(
        id="liver_cyst.1",
        key="liver_cyst",
        kind="finding",
        name="liver cyst",
        state="present",
        structure="liver",
        longest_mm=22.4,
    )
    draft = Draft(FactTable((cyst, liver)), "narrative")
    text = write_report(draft, FirstLines()).text(by_line=False)
    assert text.endswith("Impression: Hepatomegaly. Hepatic cyst.")


def test_everything_that_is_not_assessed_has_a_reason(table: FactTable) -> None:
    silent = [fact for fact in table if not fact.is_known]
    assert silent
    assert all(re.fullmatch(r"[A-Z].+\.", fact.reason) for fact in silent)
