"""Phrases, reports and questions of the evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.errors import UnknownStructure
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures import questions, referring
from medvlsam2.evaluation.scans import draw_phantom, read_scan
from medvlsam2.evaluation.texts import TextPair, text_measurements
from medvlsam2.tasks.converse import Answer
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation


@pytest.fixture
def phantom_scan(small_phantoms):
    return draw_phantom(500_000)


@pytest.fixture
def real_scan(data):
    return read_scan(labelled_scans(data, "val", with_pseudo_labels=True)[0])


def find(monkeypatch, respond):
    """Answer each phrase with the result of ``respond``."""

    def fake(_engine, _volume, prompts):
        return Segmentation(respond(prompts[0].text).astype(np.uint8), (), (), {})

    monkeypatch.setattr(referring, "segment", fake)


def scores(scan, tmp_path):
    found = {}
    for each in referring.measure_referring(Engine(tmp_path), scan):
        found.setdefault(each.metric, []).append(each.value)
    return {metric: float(np.mean(values)) for metric, values in found.items()}


def test_phrases_mean_what_is_there_and_what_is_not(phantom_scan, monkeypatch, tmp_path):
    truth = {each.phrase: mask for each, mask in referring.drawn_phrases(phantom_scan)}
    find(monkeypatch, truth.__getitem__)
    assert scores(phantom_scan, tmp_path) == {
        "giou": 1.0,
        "refused": 0.0,
        "found something": 1.0,
        "not-present accuracy": 1.0,
    }


def test_finding_everything_everywhere_fails_what_is_absent(phantom_scan, monkeypatch, tmp_path):
    find(monkeypatch, lambda _: np.ones(phantom_scan.volume.shape_ijk, dtype=bool))
    found = scores(phantom_scan, tmp_path)
    assert found["not-present accuracy"] == 0.0
    assert found["giou"] < 0.2


def test_a_refusal_is_no_right_answer(phantom_scan, monkeypatch, tmp_path):
    def refuse(_phrase):
        raise UnknownStructure("No.")

    find(monkeypatch, refuse)
    found = scores(phantom_scan, tmp_path)
    assert found["refused"] == 1.0
    assert found["giou"] == found["not-present accuracy"] == found["found something"] == 0.0


def test_real_scans_are_never_asked_for_what_is_merely_not_contoured(real_scan):
    absent = {each.phrase for each, _ in referring.drawn_phrases(real_scan) if not each.present}
    assert "spleen" not in absent
    asked = [each for each in questions.drawn_questions(real_scan) if "spleen" in each.question]
    assert asked == []
    assert {each.topic for each in questions.drawn_questions(real_scan)} <= set(questions.PROVEN_TOPICS)


def test_answers_are_compared_by_style(phantom_scan, monkeypatch, tmp_path):
    asked = questions.drawn_questions(phantom_scan)
    right = {(each.question, each.kind): each.answer for each in asked}
    assert {kind for _, kind in right} == {"multiple_choice", "short", "long"}

    def respond(change):
        def fake(_engine, _volume, question, choices, kind):
            return Answer(change(right[question, kind]), None, (), {})

        monkeypatch.setattr(questions, "answer", fake)
        found = list(questions.measure_questions(Engine(tmp_path), phantom_scan))
        return {each.value for each in found if isinstance(each, Measurement)}, sum(
            isinstance(each, TextPair) for each in found
        )

    count = sum(kind == "long" for _, kind in right)
    assert respond(str.upper) == ({1.0}, count)
    assert respond(lambda text: f"not {text}") == ({0.0}, count)


def pair(written, *references, patient="p"):
    return TextPair("report", "phantom", "report", patient, written, references)


def test_text_measures_of_the_same_and_of_another_text():
    reference = "There is a 12 mm cyst in the left kidney. The liver is normal."
    other = "The spleen is enlarged and several stones are seen within the gallbladder."
    found = text_measurements([pair(reference, reference), pair("Nothing to see", other, patient="q")])
    values = {(each.metric, each.patient): each.value for each in found}
    assert values["bleu-4", "p"] == pytest.approx(1.0, abs=1e-6)
    assert values["rouge-l", "p"] == pytest.approx(1.0)
    assert values["cider", "p"] > 5
    assert values["bleu-4", "q"] < 0.01
    assert values["cider", "q"] < 0.5
    assert {"bleu-1", "bleu-2", "bleu-3", "bleu-4", "rouge-l", "cider"} <= {each.metric for each in found}


def test_case_and_punctuation_do_not_change_text_measures():
    reference = "There is a 12 mm cyst in the left kidney."
    plain = text_measurements([pair("there is a 12 mm cyst in the left kidney", reference)])
    same = text_measurements([pair("There is a 12 mm CYST, in the left kidney!", reference)])
    assert plain == same


def test_questions_and_phrases_are_the_same_every_time(phantom_scan):
    again = replace(phantom_scan)
    assert questions.drawn_questions(phantom_scan) == questions.drawn_questions(again)
    assert [each for each, _ in referring.drawn_phrases(phantom_scan)] == [
        each for each, _ in referring.drawn_phrases(again)
    ]
