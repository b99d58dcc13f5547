"""Measures of reports: findings, sentences that facts support, masks, and labels of real scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grounded import known_facts
from medvlsam2.data.language.reporting import reports as report_texts
from medvlsam2.evaluation.measures import contradictions, reports
from medvlsam2.evaluation.scans import draw_phantom
from medvlsam2.evaluation.texts import TextPair
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.tasks.converse import Report, ReportSentence
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation


@pytest.fixture
def scan(small_phantoms):
    return draw_phantom(500_000)


@pytest.fixture
def measure(scan, monkeypatch, tmp_path):
    """Measures a report whose sentences are given, with masks that are the true ones."""
    known, table = Known(scan), known_facts(scan.facts)

    def segment(_engine, volume, prompts):
        masks = known.masks(vocabulary.find(prompts[0].text).key) or []
        found = np.logical_or.reduce([np.zeros(volume.shape_ijk, dtype=bool), *masks])
        return Segmentation(found.astype(np.uint8), (), (), {})

    def one(*sentences, asked=scan):
        def report(_engine, _volume, facts=None, grounded=True):
            told = () if facts is not None else sentences if grounded else ("There is a 9 mm hepatic cyst.",)
            rows = tuple(ReportSentence(sentence, ()) for sentence in told)
            return Report(" ".join(told), rows, (), {}, facts=table)

        monkeypatch.setattr(contradictions, "segment", segment)
        monkeypatch.setattr(reports, "report", report)
        found = {}
        for each in reports.measure_reports(Engine(tmp_path), asked):
            metric = "text" if isinstance(each, TextPair) else each.metric
            found.setdefault(metric, []).append(each)
        return found

    return one


def mean(rows):
    return sum(row.value for row in rows) / sum(row.weight for row in rows)


def test_a_right_report_has_f1_of_one_and_invents_nothing(scan, measure):
    assert scan.facts.lesions
    found = measure(*report_texts.report(scan.facts, np.random.default_rng(3)).text.split(". "))
    assert mean(found["clinical f1"]) == 1.0
    assert mean(found["findings invented"]) == 0.0
    assert len(found["text"]) == 1
    empty = measure("The liver is normal.")
    assert mean(empty["clinical f1"]) == 0.0


def test_own_words_are_measured_beside_the_grounded_report(measure):
    found = measure("The liver is seen.")
    assert mean(found["findings invented"]) == 0.0
    assert mean(found["findings invented, own words"]) == 1.0
    assert mean(found["supported by facts, own words"]) == 0.0
    assert sum(row.value for row in found["contradictions with masks, own words"]) == 1.0


def test_an_invented_finding_is_counted(measure):
    assert mean(measure("There is a 12 mm hepatic cyst.")["findings invented"]) == 1.0


def test_true_facts_are_reported_of_the_phantom_and_of_imagined_scans(measure, monkeypatch):
    monkeypatch.setattr(reports, "IMAGINED_EACH", 2)
    found = measure("The liver is seen.")
    assert mean(found["clinical f1, true facts"]) == 0.0


def test_sentences_are_compared_with_facts_and_with_masks(scan, measure):
    volume_ml = scan.facts.volumes_ml["liver"]
    right = measure(f"The liver is seen, {volume_ml:.0f} mL.", "Not assessed: the skin.")
    assert mean(right["supported by facts"]) == 1.0
    assert sum(row.value for row in right["contradictions with masks"]) == 0
    wrong = measure(f"The liver is seen, {volume_ml + 40:.0f} mL.", "The spleen is not seen.", "The liver is seen.")
    assert mean(wrong["supported by facts"]) == pytest.approx(1 / 3)
    assert {row.subject: row.value for row in wrong["contradictions with masks"]} == {
        "presence": 1.0,
        "side": 0.0,
        "number": 1.0,
    }


def test_labels_of_a_real_scan_prove_what_is_stated_wrongly(scan, measure):
    real = replace(scan, lesion_map=None, facts=replace(scan.facts, lesions_known=False, absent=("brain",)), group="TS")
    found = measure("The liver is seen.", "The brain is normal.", "The pharynx is seen.", asked=real)
    assert {row.subject: row.value for row in found["presence stated wrongly"]} == {"liver": 0.0, "brain": 1.0}
    assert "clinical f1" not in found
