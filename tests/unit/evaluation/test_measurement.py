"""Rows made of measurements: means, ratios, and intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.evaluation.measurement import ALL, MEAN, REAL, Measurement, rows


def measured(subject, patient, value, weight=1.0, group="A"):
    return Measurement("segment", group, subject, "dice", patient, value, weight)


def row_of(found, subject, group="A"):
    (row,) = [row for row in found if (row.subject, row.group) == (subject, group)]
    return row


def test_means_per_subject_per_measurement_and_per_subject_once():
    found = rows([measured("liver", "p1", 1.0), measured("liver", "p2", 0.5), measured("aorta", "p1", 0.0)])
    assert row_of(found, "liver").mean == pytest.approx(0.75)
    assert row_of(found, ALL).mean == pytest.approx(0.5)
    assert row_of(found, MEAN).mean == pytest.approx(0.375)
    assert (row_of(found, ALL).n, row_of(found, ALL).patients) == (3, 2)


def test_ratio_of_sums_is_not_the_mean_of_ratios():
    found = rows([measured("cyst", "p1", 2.0, 2.0), measured("cyst", "p2", 0.0, 6.0)])
    assert row_of(found, "cyst").mean == pytest.approx(0.25)


def test_subjects_without_weight_have_no_row_and_do_not_count():
    found = rows([measured("cyst", "p1", 1.0, 2.0), measured("mass", "p1", 0.0, 0.0)])
    assert [row.subject for row in found] == sorted([ALL, "cyst", MEAN])
    assert row_of(found, MEAN).mean == pytest.approx(0.5)


def test_interval_resamples_patients_not_measurements():
    repeated = [measured("liver", patient, value) for patient, value in (("p1", 0.0), ("p2", 1.0)) for _ in range(50)]
    row = row_of(rows(repeated), "liver")
    assert (row.n, row.patients) == (100, 2)
    assert (row.low, row.high) == (0.0, 1.0)


def test_interval_agrees_with_the_normal_one():
    values = np.random.default_rng(0).normal(0.7, 0.1, 200)
    row = row_of(rows([measured("liver", f"p{n}", float(value)) for n, value in enumerate(values)]), "liver")
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert row.low == pytest.approx(values.mean() - half, abs=0.003)
    assert row.high == pytest.approx(values.mean() + half, abs=0.003)


def test_one_patient_has_no_interval():
    row = row_of(rows([measured("liver", "p1", 0.4), measured("liver", "p1", 0.6)]), "liver")
    assert (row.low, row.high) == (None, None)


def test_phantoms_and_pseudo_truth_do_not_enter_the_row_of_all_real_scans():
    groups = ("A", "B", "phantom", "U (pseudo truth)")
    found = rows([measured("liver", group, float(group in "AB"), group=group) for group in groups])
    assert row_of(found, ALL, REAL).mean == 1.0
    assert row_of(found, ALL, REAL).n == 2


def test_rows_do_not_depend_on_the_order_of_measurements():
    given = [measured(s, f"p{n}", n / 7) for n in range(7) for s in ("liver", "aorta")]
    assert rows(given) == rows(given[::-1])
