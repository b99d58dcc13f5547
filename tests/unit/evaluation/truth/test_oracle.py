"""Expected values of queries on masks that were made by hand, in a scan of 2 x 2 x 4 mm voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.query.reading import read_query
from medvlsam2.data.volume import CTVolume
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.truth import measuring
from medvlsam2.evaluation.truth.agreement import agrees
from medvlsam2.evaluation.truth.given import true_facts
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.evaluation.truth.oracle import Expected, expected

SHAPE = (40, 30, 20)
VOXEL_ML = 2 * 2 * 4 / 1000


def block(i, j, k):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[slice(*i), slice(*j), slice(*k)] = True
    return mask


LIVER = block((2, 12), (5, 25), (4, 14))
LEFT = block((25, 35), (5, 10), (4, 10))
RIGHT = block((14, 19), (5, 10), (4, 10))
CYST, BIG_CYST = block((4, 6), (7, 9), (6, 7)), block((4, 9), (12, 16), (8, 10))


def lesion(kind, structure, side, value, mask):
    place = tuple(int(each) for each in np.argwhere(mask)[0])
    return Lesion(
        kind=kind,
        structure=structure,
        side=side,
        center_ijk=place,
        center_ras=(0.0, 0.0, 0.0),
        diameter_mm=10.0,
        mean_hu=5.0,
        label_value=value,
    )


@pytest.fixture(scope="module")
def scan():
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[LIVER], hu[LEFT | RIGHT], hu[CYST | BIG_CYST] = 60, 30, 5
    lesion_map = np.zeros(SHAPE, dtype=np.uint8)
    lesion_map[CYST], lesion_map[BIG_CYST] = 1, 2
    facts = ScanFacts(
        region="abdomen",
        phase="non-contrast",
        volumes_ml={"liver": 1.0},
        absent=("brain",),
        lesions=(lesion("cyst", "liver", None, 1, CYST), lesion("cyst", "liver", None, 2, BIG_CYST)),
        lesions_known=True,
    )
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])
    truth = {"liver": LIVER, "kidney_left": LEFT, "kidney_right": RIGHT}
    return LabelledScan(CTVolume(hu, affine, "hand made"), "p", "phantom", truth, facts=facts, lesion_map=lesion_map)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("presence of liver", True),
        ("presence of brain", False),
        ("presence of kidney stone", False),
        ("presence of cyst in liver", True),
        ("presence of cyst in left kidney", False),
        ("volume of liver", 2000 * VOXEL_ML),
        ("volume of liver, L", 2 * VOXEL_ML),
        ("volume of kidneys", 450 * VOXEL_ML),
        ("count of liver cyst", 2),
        ("count of kidneys", 2),
        ("length of largest cyst", np.hypot(8, 6) + 2),
        ("short axis of largest cyst", 2 * 8 * 6 / 10 + 2),
        ("density of smallest liver cyst", 5.0),
        ("slices of liver", (4, 13)),
        ("side of left kidney", "left"),
        ("location of liver cyst", "liver"),
        ("greatest volume of left kidney or right kidney", "left kidney"),
        ("whether volume of left kidney is more than right kidney", True),
        ("whether length of largest cyst is more than 2 cm", False),
        ("ratio of volume of right kidney to kidneys, %", 100 / 3),
        ("difference of volume of left kidney to right kidney, mL", 150 * VOXEL_ML),
        ("distance from left kidney to right kidney, cm", 1.4),
        ("distance from liver to liver cyst", 0.0),
        ("number of slices", 20),
        ("slice thickness", 4.0),
        ("region", "abdomen"),
        ("phase", "non-contrast"),
    ],
)
def test_expected_value(scan, query, value):
    found = expected(read_query(query), Known(scan))
    assert found is not None
    assert any(each == (pytest.approx(value) if isinstance(value, float) else value) for each in found.values)


@pytest.mark.parametrize("query", ["presence of spleen", "level of liver", "list of findings", "volume of brain"])
def test_what_is_not_settled_has_no_expectation(scan, query):
    assert expected(read_query(query), Known(scan)) is None


def test_a_side_that_is_not_contoured_is_unknown(scan):
    real = LabelledScan(scan.volume, "p", "TS", {"kidney_left": LEFT})
    assert expected(read_query("presence of left kidney"), Known(real)) == Expected((True,))
    assert expected(read_query("volume of kidneys"), Known(real)) is None
    assert expected(read_query("presence of liver"), Known(real)) is None


@pytest.mark.parametrize("word", ["kidney stone", "stone", "hydronephrosis"])
def test_a_finding_may_lie_in_the_side_that_is_not_contoured(scan, word):
    half = replace(scan, truth={"liver": LIVER, "kidney_left": LEFT})
    assert expected(read_query(f"presence of {word}"), Known(half)) is None
    assert expected(read_query(f"presence of {word}"), Known(scan)) == Expected((False,))
    neither = replace(scan, truth={"liver": LIVER})
    assert expected(read_query(f"presence of {word}"), Known(neither)) == Expected((False,))


def test_the_side_that_is_contoured_stays_told(scan):
    half = replace(scan, truth={"liver": LIVER, "kidney_left": LEFT})
    known = Known(half)
    assert (known.masks("kidney_cyst_left"), known.masks("kidney_cyst_right")) == ([], None)
    assert len(known.masks("cyst")) == 2, "the cysts of the liver"
    facts = true_facts(half)
    states = [facts.finding(key)[0].state for key in ("kidney_cyst_left", "kidney_cyst_right", "kidney_cyst")]
    assert states == ["absent", "not assessed", "not assessed"]
    gone = replace(half, facts=replace(scan.facts, absent=("kidney_right",)))
    assert Known(gone).masks("kidney_cyst_right") == []


def test_true_facts_are_measured_on_the_true_masks(scan):
    facts = true_facts(scan)
    assert facts.structure("liver").volume_ml == pytest.approx(2000 * VOXEL_ML)
    assert len(facts.finding("cyst")) == len(facts.finding("liver_cyst")) == 2
    assert not facts.finding("kidney_stone")[0].is_present
    assert {"liver_cyst", "kidney_stone"} <= set(facts.source.findings)
    assert not {"cyst", "lesion", "liver_lesion"} & set(facts.source.findings)


def test_measures_of_a_single_voxel(scan):
    voxel = block((3, 4), (3, 4), (3, 4))
    assert measuring.diameters_mm(voxel, scan.volume) == (2.0, 2.0)
    assert measuring.length_mm(voxel, scan.volume) == 2.0
    assert measuring.slices(voxel, scan.volume) == (3, 3)


@pytest.mark.parametrize(
    ("given", "unit", "wanted", "right"),
    [
        (1121.0, "mL", Expected((1130.0,), "mL"), True),
        (1121.0, "mL", Expected((1160.0,), "mL"), False),
        (1.13, "L", Expected((1121.0,), "mL"), True),
        (12.0, "mm", Expected((12.5,), "mm"), True),
        (12.0, "mm", Expected((14.0,), "mm"), False),
        (12.0, "mm", Expected((14.0, 12.2), "mm"), True),
        (12.0, "HU", Expected((12.0,), "mm"), False),
        (2, "", Expected((3,)), False),
        (True, "", Expected((1,)), False),
        ("L5", "", Expected(("L5 vertebra",)), True),
        (("liver", "right kidney"), "", Expected((("right kidney", "liver"),)), True),
        ((4, 13), "", Expected(((4, 14),)), False),
        (None, "", Expected((0.0,)), False),
        (float("nan"), "mL", Expected((0.0,), "mL"), False),
    ],
)
def test_agreement(given, unit, wanted, right):
    assert agrees(given, unit, wanted) is right


def test_with_a_models_own_masks_a_number_may_be_farther_off():
    assert agrees(110.0, "mL", Expected((100.0,), "mL"), share=0.15)
    assert not agrees(120.0, "mL", Expected((100.0,), "mL"), share=0.15)
