"""Findings of phantoms: every kind is made, is marked in the lesion map, and has the HU of its kind."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.data.facts import Lesion, Region
from medvlsam2.data.phantom import Phantom, PhantomConfig, generate
from medvlsam2.data.phantom.pathology import findings
from medvlsam2.data.phantom.scanner import artefacts
from medvlsam2.data.phantom.scene import LABEL_VALUES

DRAWN: tuple[tuple[Region, tuple[int, int, int], tuple[int, ...]], ...] = (
    ("head and neck", (64, 64, 56), (0, 1)),
    ("chest and abdomen", (64, 64, 64), (0, 1, 2)),
    ("trunk", (64, 64, 88), (0, 3)),
    ("abdomen and pelvis", (64, 64, 72), (0, 1, 3)),
    ("pelvis", (64, 64, 48), (0, 1, 2)),
)
Found = dict[tuple[str, str], list[tuple[Phantom, Lesion]]]


def family(key: str) -> str:
    """Return the name of a structure without its side or level."""
    return key.removesuffix("_left").removesuffix("_right").partition("_T")[0].partition("_L")[0]


def _is_planned(seed: int, name: str) -> bool:
    plan = findings.plan_organ_findings("trunk", 8, np.random.default_rng([seed, 6]))
    return getattr(plan, name) is not None


@pytest.fixture(scope="module")
def found() -> Found:
    """Findings of many phantoms by kind and structure."""
    every: Found = {}
    planned = {name: next(seed for seed in range(200) if _is_planned(seed, name)) for name in ("heart", "fracture")}
    for region, shape, seeds in (*DRAWN, ("trunk", (64, 64, 88), tuple(planned.values()))):
        for seed in seeds:
            config = PhantomConfig(shape_ijk=shape, region=region, num_lesions=8, phase="arterial", noise_hu=4.0)
            phantom = generate(seed, config)
            for lesion in phantom.facts.lesions:
                every.setdefault((lesion.kind, family(lesion.structure)), []).append((phantom, lesion))
    return every


def hu_of(phantom: Phantom, lesion: Lesion) -> np.ndarray:
    """Return the HU of a finding's voxels."""
    return np.asarray(phantom.volume.hu[phantom.lesion_map == lesion.label_value])


@pytest.mark.parametrize(
    "kind",
    [
        ("nodule", "lung"), ("consolidation", "lung"), ("effusion", "lung"), ("pneumothorax", "lung"),
        ("enlargement", "heart"), ("enlargement", "spleen"), ("calcification", "coronary_arteries"),
        ("dissection", "aorta"), ("aneurysm", "aorta"), ("cyst", "liver"), ("cyst", "kidney"),
        ("metastasis", "liver"), ("metastasis", "vertebrae"), ("metastasis", "hip"), ("stone", "kidney"),
        ("hydronephrosis", "kidney"), ("ascites", "body"), ("fracture", "vertebrae"),
        ("sarcoma", "skeletal_muscle"), ("mass", "parotid_gland"), ("mass", "larynx"),
    ],
)  # fmt: skip
def test_every_kind_is_made(found: Found, kind: tuple[str, str]) -> None:
    assert kind in found
    for phantom, lesion in found[kind]:
        assert int((phantom.lesion_map == lesion.label_value).sum()) >= 3
        assert lesion.diameter_mm > 2.0


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (("effusion", "lung"), -20, 40),
        (("pneumothorax", "lung"), -1024, -900),
        (("ascites", "body"), -45, 45),
        (("consolidation", "lung"), -250, 90),
        (("calcification", "coronary_arteries"), 140, 1200),
        (("hydronephrosis", "kidney"), -15, 75),
        (("mass", "larynx"), -120, 130),
    ],
)
def test_findings_have_the_hu_of_their_kind(found: Found, kind: tuple[str, str], low: int, high: int) -> None:
    for phantom, lesion in found[kind]:
        assert low < float(np.median(hu_of(phantom, lesion))) < high


def test_an_enlarged_organ_is_marked_as_a_whole_and_is_large(found: Found) -> None:
    for phantom, lesion in [*found["enlargement", "spleen"], *found["enlargement", "heart"]]:
        organ = phantom.label_map == LABEL_VALUES[lesion.structure]
        assert np.array_equal(phantom.lesion_map == lesion.label_value, organ)
        if lesion.structure == "spleen":
            assert lesion.diameter_mm > 115.0


def test_the_false_lumen_is_darker_than_the_true_one(found: Found) -> None:
    for phantom, lesion in found["dissection", "aorta"]:
        aorta = phantom.label_map == LABEL_VALUES["aorta"]
        false_lumen = phantom.lesion_map == lesion.label_value
        assert (aorta | ~false_lumen).all()
        assert phantom.volume.hu[false_lumen].mean() < phantom.volume.hu[aorta & ~false_lumen].mean() - 15.0


def test_a_sarcoma_lies_on_its_side(found: Found) -> None:
    for phantom, lesion in found["sarcoma", "skeletal_muscle"]:
        at = np.argwhere(np.isin(phantom.label_map, [LABEL_VALUES["sacrum"], LABEL_VALUES["spinal_cord"]]))
        midline = geometry.ijk_to_ras(at, phantom.volume.affine)[:, 0].mean()
        assert lesion.side == ("right" if lesion.center_ras[0] > midline else "left")


def test_ascites_lies_outside_all_organs(found: Found) -> None:
    for phantom, lesion in found["ascites", "body"]:
        assert (phantom.label_map[phantom.lesion_map == lesion.label_value] == 0).all()


def test_plans_keep_the_number_of_findings_and_the_visible_heights() -> None:
    kinds = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        assert findings.plan_organ_findings("abdomen", 0, rng) == findings.OrganFindings()
        plan = findings.plan_organ_findings("chest", 1, rng)
        kinds |= {name for name, value in vars(plan).items() if value is not None}
        assert sum(value is not None for value in vars(plan).values()) <= 1
        assert plan.bladder is None
    assert {"heart", "fracture"} <= kinds


def test_streaks_stay_in_the_slices_of_the_metal() -> None:
    hu = np.zeros((60, 50, 12), np.float32)
    axes = artefacts.Axes(2, 0, 1, (1.0, 1.0, 2.0))
    metal = np.argwhere(np.ones((4, 4, 2))) + np.array([30, 20, 5])
    artefacts.add_streaks(hu, axes, [metal], np.random.default_rng(0))
    touched = np.abs(hu).max(axis=(0, 1)) > 0.0
    assert touched.tolist() == [k in (5, 6) for k in range(12)]
    assert hu.max() > 40.0
    assert hu.min() < -40.0
    near, far = np.abs(hu[26:38, 16:28, 5]).mean(), np.abs(hu[:8, :, 5]).mean()
    assert near > 1.5 * far


def test_soft_tissue_between_dense_bones_is_darkened() -> None:
    hu = np.full((96, 64, 8), 40.0, np.float32)
    hu[20:32, 28:36] = hu[60:72, 28:36] = 1200.0
    artefacts.harden(hu, artefacts.Axes(2, 0, 1, (1.5, 1.5, 2.0)), np.random.default_rng(0))
    assert hu[46, 32, 4] < 38.0
    assert hu[46, 32, 4] < hu[46, 60, 4] - 2.0
    assert hu[25, 32, 4] == pytest.approx(1200.0)
