"""Reports to learn from: they tell every finding, and only what the facts hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language.clinical import parse_findings, stated_findings
from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.grounded import Draft, known_facts, plans
from medvlsam2.data.language.grounded.patterns import STYLES, patterns


def spleen_of(length_mm: float) -> FactTable:
    state = "present" if length_mm > 130.0 else "absent"
    return FactTable(
        (
            Fact(id="spleen", key="spleen", kind="structure", name="spleen", state="present", volume_ml=248.2),
            Fact(
                id="splenomegaly",
                key="splenomegaly",
                kind="rule",
                name="splenomegaly",
                state=state,
                structure="spleen",
                value=length_mm,
                unit="mm",
                threshold=130.0,
            ),
        )
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_report_of_true_facts_tells_every_finding_and_no_other(seed: int) -> None:
    facts = random_facts(np.random.default_rng(seed))
    for plan in plans(known_facts(facts), seed):
        written = {finding for finding in parse_findings(plan.answer) if finding[0] not in ("normal", "absent")}
        assert written == stated_findings(facts), plan.answer


@pytest.mark.parametrize("style", STYLES)
def test_an_enlarged_spleen_is_told_with_its_length_and_never_as_normal(style: str) -> None:
    for seed in range(20):
        (plan,) = plans(spleen_of(146.6), seed, (style,))
        findings, impression = plan.answer.split("Impression:")
        assert "147 mm" in findings
        assert "normal" not in plan.answer
        assert ("enlargement", "spleen", None) in parse_findings(impression)


@pytest.mark.parametrize("style", STYLES)
def test_a_spleen_within_limits_is_called_normal_in_size_and_not_enlarged(style: str) -> None:
    for seed in range(20):
        (plan,) = plans(spleen_of(98.0), seed, (style,))
        assert re.search("normal|unremarkable", plan.answer, re.IGNORECASE)
        assert "enlarge" not in plan.answer
        assert "splenomegaly" not in plan.answer


def test_a_finding_cannot_be_left_out() -> None:
    draft = Draft(spleen_of(146.6), "terse")
    draft.add(draft.options()["Findings:"])
    assert "Impression:" not in draft.options()
    draft.add(draft.options()["Splenomegaly, 147 mm."])
    assert "Impression:" in draft.options()


def test_common_kinds_have_at_least_ten_wordings() -> None:
    common = set(patterns()) - {kind for kind in patterns() if kind.startswith(("impression", "compared", "not asses"))}
    assert {kind for kind in common if len(patterns()[kind]["narrative"]) < 10} == set()


def test_what_was_not_assessed_is_not_read_as_found() -> None:
    for start in ("Not assessed", "The following were not assessed", "No statement is made on"):
        assert parse_findings(f"{start}: cardiomegaly, kidney stone and ascites.") == frozenset()
