"""Facts are measured on the very masks that segment gives for each name alone, however many are asked for together."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import Cancelled, InvalidRequest
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts import facts_of
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.scheduling.stopping import stoppable
from medvlsam2.tasks.segment import segment

ASKED = ("liver", "spleen", "kidney_left", "kidney_right", "vertebrae", "kidney_cyst_left", "mandible")
"""Competing neighbours, a pair whose sides bind, a series, a finding that a side binds, and what is not there."""


def test_masks_are_those_of_each_name_alone(nano: Engine, facts: Facts, small_phantom: Phantom) -> None:
    facts.look_for(ASKED)
    told = [*facts.structures([key for key in ASKED if "cyst" not in key]), *facts.finding("kidney_cyst_left")]
    for fact in told:
        alone = segment(nano, small_phantom.volume, [ObjectPrompt(vocabulary.STRUCTURES[fact.key].name)])
        (result,) = alone.objects
        assert np.array_equal(facts.mask(fact), alone.label_map == 1), fact.id
        assert result.present == (fact.mask is not None), fact.id
        if fact.mask is not None:
            assert fact.volume_ml == pytest.approx(result.volume_ml), fact.id
            assert fact.longest_mm == pytest.approx(result.diameter_mm), fact.id
            assert fact.confidence == pytest.approx(result.confidence), fact.id
            assert fact.slices == (min(result.slice_confidence), max(result.slice_confidence)), fact.id
    assert {fact.key for fact in told if fact.is_present} >= {"liver", "spleen", "kidney_left", "kidney_cyst_left"}


def test_a_pair_is_the_union_of_its_sides(facts: Facts) -> None:
    left, right, both = facts.structures(("kidney_left", "kidney_right", "kidneys"))
    assert both.volume_ml == pytest.approx((left.volume_ml or 0) + (right.volume_ml or 0))
    assert np.array_equal(facts.mask(both), facts.mask(left) | facts.mask(right))


def test_what_the_scan_does_not_show_is_not_absent(facts: Facts) -> None:
    mandible = facts.structure("mandible")
    assert mandible.state == "outside the field of view"
    assert "the mandible lies about" in mandible.reason


def test_what_the_model_does_not_know_is_not_assessed(facts: Facts) -> None:
    fact = facts.structure("appendix")
    assert (fact.state, fact.mask) == ("not assessed", None)
    assert "was not taught to find the appendix" in fact.reason


def test_a_scan_keeps_its_facts(nano: Engine, facts: Facts, small_phantom: Phantom) -> None:
    assert facts_of(nano, small_phantom.volume) is facts


def test_work_that_nobody_wants_stops(facts: Facts) -> None:
    stop = threading.Event()
    stop.set()
    with stoppable(stop), pytest.raises(Cancelled):
        facts.structure("stomach")
    assert "stomach" not in facts.known()


def test_only_keys_of_the_vocabulary_are_taken(facts: Facts) -> None:
    with pytest.raises(InvalidRequest, match="no key of the vocabulary"):
        facts.structure("left kidney")
    with pytest.raises(InvalidRequest, match=r"Facts\.finding"):
        facts.structure("liver_cyst")
    with pytest.raises(InvalidRequest, match="Rules are"):
        facts.rule("gout")
