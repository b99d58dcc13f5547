"""Dice of structures asked for by name, and sides that are swapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.evaluation.measures import words
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation


@pytest.fixture
def scan(small_phantom):
    truth = {key: small_phantom.label_map == value for value, key in small_phantom.labels.items()}
    keys = ("liver", "kidney_left", "kidney_right")
    return LabelledScan(small_phantom.volume, "p", "A", {key: truth[key] for key in keys})


def answer_with(monkeypatch, masks):
    """Answer each name with the mask that is given for it."""

    def fake(_engine, volume, prompts):
        label_map = np.zeros(volume.shape_ijk, dtype=np.uint8)
        for number, prompt in enumerate(prompts, start=1):
            label_map[masks[vocabulary.lookup(prompt.text).key]] = number
        told = [
            ObjectResult(one.display_name, True, 0.9, 1.0, 1.0, {}, None, values=(value,))
            for value, one in enumerate(prompts, start=1)
        ]
        return Segmentation(label_map, tuple(told), (), {})

    monkeypatch.setattr(words, "segment", fake)


def measured(scan, tmp_path):
    found = words.measure_words(Engine(tmp_path), scan)
    return {(each.subject, each.metric): each.value for each in found if each.task == words.TASK}


def test_right_answers(scan, monkeypatch, tmp_path):
    answer_with(monkeypatch, scan.truth)
    found = measured(scan, tmp_path)
    assert {metric for _, metric in found} == {"dice", "nsd", "swapped sides"}
    assert all(value == (metric != "swapped sides") for (_, metric), value in found.items())
    assert {key for key, metric in found if metric == "swapped sides"} == {"kidney_left", "kidney_right"}


def test_the_reliability_table_counts_right_answers_by_their_confidence(scan, monkeypatch, tmp_path):
    answer_with(monkeypatch, {**scan.truth, "liver": scan.truth["kidney_left"], "kidney_left": scan.truth["liver"]})
    rows = [each for each in words.measure_words(Engine(tmp_path), scan) if each.task == words.RELIABILITY]
    assert {each.subject for each in rows} == {"confidence 0.9 to 1.0"}
    assert [each.value for each in rows if each.metric == "told"] == [0.9] * 3
    assert sorted(each.value for each in rows if each.metric == "was right") == [0.0, 0.0, 1.0]


def test_swapped_kidneys_are_seen(scan, monkeypatch, tmp_path):
    answer_with(monkeypatch, {key: scan.truth[vocabulary.mirror(key)] for key in scan.truth})
    found = measured(scan, tmp_path)
    assert found["kidney_left", "swapped sides"] == found["kidney_right", "swapped sides"] == 1.0
    assert found["kidney_left", "dice"] == 0.0
    assert found["liver", "dice"] == 1.0


def test_empty_truth_is_counted_and_not_asked_for(scan, monkeypatch, tmp_path):
    empty = np.zeros(scan.volume.shape_ijk, dtype=bool)
    sliver = empty.copy()
    sliver[0, 0, :3] = True
    answer_with(monkeypatch, {"liver": scan.truth["liver"]})
    found = measured(replace(scan, truth={"liver": scan.truth["liver"], "aorta": empty, "spleen": sliver}), tmp_path)
    assert found["aorta", "empty truth"] == found["spleen", "too small"] == 1.0
    assert {key for key, metric in found if metric == "dice"} == {"liver"}
