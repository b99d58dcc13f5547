"""The simulated annotator."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.evaluation.measures import interactive
from medvlsam2.evaluation.measures.interactive import auc, bounding_box, clicks_to, measure_interactive, next_click
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation


def block(*bounds, shape=(24, 20, 16)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(low, high) for low, high in bounds)] = True
    return mask


def test_first_click_is_in_the_middle_of_the_object():
    truth = block((4, 9), (5, 12), (2, 7))
    click = next_click(np.zeros_like(truth), truth)
    assert click.is_inside
    assert click.point_ijk[0] == 6.0
    assert click.point_ijk[2] == 4.0
    assert 7 <= click.point_ijk[1] <= 9


def test_click_goes_to_the_largest_error_and_says_which_kind_it_is():
    truth = block((2, 9), (2, 9), (2, 9))
    missed = truth & ~block((2, 5), (2, 9), (2, 9))
    too_much = missed | block((14, 22), (6, 16), (4, 14))
    on = next_click(missed, truth)
    assert on.is_inside
    assert block((2, 5), (3, 8), (3, 8))[tuple(int(c) for c in on.point_ijk)]
    beside = next_click(too_much, truth)
    assert not beside.is_inside
    assert block((16, 20), (9, 13), (7, 11))[tuple(int(c) for c in beside.point_ijk)]


def test_errors_that_touch_at_a_corner_are_one():
    truth = block((2, 4), (2, 4), (2, 4)) | block((4, 6), (4, 6), (4, 6)) | block((12, 14), (12, 15), (10, 12))
    click = next_click(np.zeros_like(truth), truth)
    assert max(click.point_ijk) < 6


def test_an_error_at_the_edge_of_the_scan_is_clicked_away_from_the_edge():
    truth = block((0, 5), (0, 5), (0, 5))
    assert next_click(np.zeros_like(truth), truth).point_ijk == (2.0, 2.0, 2.0)


def test_nothing_wrong_means_no_click():
    truth = block((4, 9), (5, 12), (2, 7))
    assert next_click(truth, truth) is None


def test_area_and_clicks_by_hand():
    assert auc([0.0, 0.5, 0.5, 1.0, 1.0]) == pytest.approx(2.5)
    assert clicks_to(0.9, [0.95, 0.99]) == 0.0
    assert clicks_to(0.9, [0.1] * 6) == 6.0


def test_box_is_half_open():
    assert bounding_box(block((4, 9), (5, 12), (2, 7))) == (4, 9, 5, 12, 2, 7)


def test_curve_gives_every_click_so_far_and_scores_each_step(small_phantom, monkeypatch, tmp_path):
    """A tool whose mask is right only from the second click on."""
    truth = small_phantom.label_map == next(v for v, key in small_phantom.labels.items() if key == "liver")
    scan = LabelledScan(small_phantom.volume, patient="p", group="A", truth={"liver": truth})
    asked = []

    def fake(_engine, volume, prompts):
        (prompt,) = prompts
        asked.append(prompt)
        found = truth if len(prompt.points_ijk) >= 2 else truth & (np.arange(truth.shape[2]) % 2 == 0)
        return Segmentation(found.astype(np.uint8), (), (), {})

    monkeypatch.setattr(interactive, "segment", fake)
    values = {each.metric: each.value for each in measure_interactive(Engine(tmp_path), scan)}
    half = values["dice after box"]
    assert 0 < half < 0.9
    assert values["dice after click 1"] == values["dice of one click, no box"] == half
    assert values["dice after click 2"] == values["dice final"] == values["nsd final"] == 1.0
    assert values["dice auc"] == pytest.approx((half + 1) / 2 + 3)
    assert (values["clicks to 90 %"], values["reached 90 %"]) == (2.0, 1.0)
    with_box = [prompt for prompt in asked if prompt.box_ijk is not None]
    assert [len(prompt.points_ijk) for prompt in with_box] == [0, 1, 2]
    assert {prompt.box_ijk for prompt in with_box} == {bounding_box(truth)}


def test_pseudo_truth_is_not_clicked(small_phantom, tmp_path):
    scan = LabelledScan(small_phantom.volume, "p", "A", {"liver": small_phantom.label_map > 0}, is_pseudo=True)
    assert list(measure_interactive(Engine(tmp_path), scan)) == []
