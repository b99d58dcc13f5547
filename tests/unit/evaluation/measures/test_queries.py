"""Answers by kind of query: all right where the masks are the true ones, and wrong where they are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.evaluation.measures import contradictions, queries
from medvlsam2.evaluation.scans import draw_phantom
from medvlsam2.evaluation.truth.given import true_facts
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation


@pytest.fixture(scope="module")
def scan(small_phantom):
    """The small phantom with four organs, so that few things are measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medvlsam2.evaluation.scans.phantom.generate", lambda _seed, _config: small_phantom)
        drawn = draw_phantom(500_000)
    return replace(drawn, truth={key: drawn.truth[key] for key in ("liver", "spleen", "aorta", "kidney_left")})


@pytest.fixture
def look(scan, monkeypatch, tmp_path):
    """Measures with a model that sees some scan instead."""

    def measure(seen, asked=scan):
        facts, known = true_facts(seen), Known(seen)

        def segment(_engine, _volume, prompts):
            masks = known.masks(vocabulary.find(prompts[0].text).key) or []
            found = np.logical_or.reduce([np.zeros(seen.volume.shape_ijk, dtype=bool), *masks])
            return Segmentation(found.astype(np.uint8), (), (), {})

        monkeypatch.setattr(contradictions, "segment", segment)
        monkeypatch.setattr(queries, "facts_of", lambda _engine, _volume: facts)
        found = {}
        for each in queries.measure_queries(Engine(tmp_path), asked):
            found.setdefault(each.metric, []).append(each)
        return found

    return measure


def total(rows, subject=None):
    return sum(row.value for row in rows if subject in (None, row.subject))


def test_true_masks_give_right_answers_and_contradict_nothing(scan, look):
    found = look(scan)
    right = found["right by kind of query"]
    assert {row.subject for row in right} >= {"presence", "volume", "length", "density"}
    assert {row.subject: row.value for row in right if row.value < 1} == {}
    assert total(found["contradictions with masks"]) == 0


def test_a_mask_that_is_too_large_gives_wrong_volumes_that_masks_do_not_contradict(scan, look):
    liver = scan.truth["liver"] | scan.truth["spleen"]
    found = look(replace(scan, truth={**scan.truth, "liver": np.roll(liver, 1, axis=0) | liver}))
    wrong = {row.subject for row in found["right by kind of query"] if row.value < 1}
    assert "volume" in wrong
    assert total(found["contradictions with masks"]) == 0


def test_real_scans_count_what_labels_prove_wrong(scan, look):
    real = replace(scan, lesion_map=None, facts=None, group="TS")
    found = look(real, real)
    assert total(found["presence stated wrongly"]) == 0
    assert total(found["volume told off by more than 15 %"]) == 0
    assert len(found["volume told off by more than 15 %"]) == 4
    without = replace(real, truth={key: mask for key, mask in scan.truth.items() if key != "spleen"}, facts=scan.facts)
    missed = look(replace(without, facts=replace(scan.facts, absent=("spleen",))), real)
    assert total(missed["presence stated wrongly"]) == 1


def test_text_that_masks_contradict_is_counted(scan, look, monkeypatch, tmp_path):
    look(scan)
    evidence = contradictions.evidence_of_masks(Engine(tmp_path), scan)
    sentences = ["The volume of the liver is 2 mL.", "The aorta is not seen.", "The spleen is visible."]
    rows = list(contradictions.count_contradictions("vqa", scan, sentences, evidence))
    assert {row.subject: row.value for row in rows} == {"presence": 1.0, "side": 0.0, "number": 1.0}
