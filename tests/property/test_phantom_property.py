"""In any orientation of a phantom the patient's left stays left, and the facts fit the voxels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2 import geometry
from medvlsam2.data.phantom import Phantom, PhantomConfig, generate
from medvlsam2.data.phantom.scene import LABEL_VALUES

CODES = ["".join(c) for order in permutations(("RL", "AP", "SI")) for c in product(*order)]


def centroid_ras(phantom: Phantom, key: str) -> np.ndarray:
    """Return the centre of a structure in world mm."""
    at = np.argwhere(phantom.label_map == LABEL_VALUES[key])
    return geometry.ijk_to_ras(at, phantom.volume.affine).mean(0)


def trunk(seed: int, code: str, oblique_degrees: float) -> Phantom:
    """Make a coarse trunk; the array axis along the body gets the most voxels."""
    shape = tuple(110 if letter in "SI" else 84 for letter in code)
    return generate(
        seed,
        PhantomConfig(
            shape_ijk=(shape[0], shape[1], shape[2]),
            region="trunk",
            orientation=code,
            oblique_degrees=oblique_degrees,
            num_lesions=2,
        ),
    )


def assert_sides(phantom: Phantom) -> None:
    """Check that organs lie on their side; x grows to the patient's right."""
    midline = centroid_ras(phantom, "spinal_cord")[0]
    assert centroid_ras(phantom, "liver")[0] > midline + 20.0
    assert centroid_ras(phantom, "stomach")[0] < midline - 10.0
    assert centroid_ras(phantom, "heart")[0] < midline - 8.0
    if "spleen" in phantom.facts.volumes_ml:
        assert centroid_ras(phantom, "spleen")[0] < midline - 50.0
    for pair in ("kidney", "lung", "hip", "femur", "iliopsoas", "gluteus_medius", "scapula", "iliac_artery"):
        left, right = f"{pair}_left", f"{pair}_right"
        if {left, right} <= set(phantom.facts.volumes_ml):
            assert centroid_ras(phantom, left)[0] < midline < centroid_ras(phantom, right)[0], pair
    assert centroid_ras(phantom, "aorta")[0] < centroid_ras(phantom, "inferior_vena_cava")[0]


@pytest.mark.parametrize(
    ("code", "oblique_degrees"),
    [("RAS", 0.0), ("LPS", 0.0), ("LAS", 5.0), ("RPI", 0.0), ("SAL", 0.0), ("PIR", 8.0), ("ALS", 12.0)],
)
def test_left_is_left_in_known_orders(code: str, oblique_degrees: float) -> None:
    phantom = trunk(1, code, oblique_degrees)
    assert phantom.volume.orientation == code
    assert_sides(phantom)


@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    code=st.sampled_from(CODES),
    oblique_degrees=st.sampled_from([0.0, 4.0, 11.0]),
)
def test_left_is_left_in_any_order(seed: int, code: str, oblique_degrees: float) -> None:
    phantom = trunk(seed, code, oblique_degrees)
    assert phantom.volume.orientation == code
    assert_sides(phantom)


@pytest.mark.parametrize(("code", "oblique_degrees"), [("LPS", 0.0), ("SAL", 6.0)])
def test_left_is_left_in_head_and_neck(code: str, oblique_degrees: float) -> None:
    config = PhantomConfig(
        shape_ijk=(88, 88, 88),
        spacing_mm=(4.2, 4.2, 4.2),
        region="head and neck",
        orientation=code,
        oblique_degrees=oblique_degrees,
    )
    phantom = generate(3, config)
    midline = centroid_ras(phantom, "spinal_cord")[0]
    for pair in ("parotid_gland", "submandibular_gland", "common_carotid_artery", "eyeball", "humerus", "clavicula"):
        assert centroid_ras(phantom, f"{pair}_left")[0] < midline < centroid_ras(phantom, f"{pair}_right")[0], pair
    from_below = ["trachea", "larynx", "mandible", "eyeball_left", "brain"]
    heights = [centroid_ras(phantom, key)[2] for key in from_below]
    assert heights == sorted(heights)
    fronts = [centroid_ras(phantom, key)[1] for key in ("cerebellum", "brainstem", "tongue")]
    assert fronts == sorted(fronts)
    assert centroid_ras(phantom, "parotid_gland_left")[1] < centroid_ras(phantom, "mandible")[1] - 15.0


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_facts_fit_the_voxels_of_any_draw(seed: int) -> None:
    phantom = generate(seed, PhantomConfig(max_voxels=200_000))
    facts, affine = phantom.facts, phantom.volume.affine
    assert phantom.volume.hu.size <= 200_000
    counts = np.bincount(phantom.label_map.ravel(), minlength=256)
    for value, key in phantom.labels.items():
        assert facts.volumes_ml[key] == pytest.approx(counts[value] * geometry.voxel_volume_ml(affine), abs=1e-3)
    assert set(np.flatnonzero(counts)) - {0} == set(phantom.labels)
    for lesion in facts.lesions:
        mask = phantom.lesion_map == lesion.label_value
        assert mask[lesion.center_ijk]
        if lesion.structure in LABEL_VALUES:
            assert (phantom.label_map[mask] == LABEL_VALUES[lesion.structure]).all()
        assert lesion.diameter_mm > 3.0
    assert set(np.unique(phantom.lesion_map)) - {0} == {lesion.label_value for lesion in facts.lesions}
