"""Findings by name: planted ones are found in the structure that holds them, with side, size and density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.tasks.measure.findings import (
    STRONG_PIXELS,
    MaskGrid,
    measure_findings,
    strength,
)

DIM, SIDE, SLICES = 32, 24, 8
SPACING_DHW_MM = (5.0, 3.0, 4.0)


@pytest.fixture
def grid() -> MaskGrid:
    """d is k, h is j and w is i, with i going to the patient's left."""
    return MaskGrid(
        spacing_dhw_mm=SPACING_DHW_MM,
        hu_dhw=np.full((SLICES, SIDE, SIDE), 7.0),
        to_ijk=lambda points_dhw: points_dhw[:, ::-1],
        affine=np.diag([-4.0, 3.0, 5.0, 1.0]),
    )


def block(first: int, last: int, rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(SLICES, SIDE, SIDE, dtype=torch.bool)
    mask[first:last, rows, columns] = True
    return mask


LEFT, RIGHT = (block(1, 7, slice(2, 22), columns) for columns in (slice(14, 22), slice(2, 10)))


def found(
    similarity: TextSimilarity,
    grid: MaskGrid,
    planted: dict[str, Tensor],
    structures: dict[str, Tensor],
    thresholds: dict[str, float] | None = None,
):
    fine = torch.zeros(SLICES, DIM // 8, SIDE, SIDE)
    for channel, mask in enumerate(planted.values()):
        fine[:, channel][mask] = 1.0
    features = SliceFeatures(torch.zeros(SLICES, DIM, 6, 6), fine, torch.zeros(SLICES, DIM // 4, 12, 12))
    tokens = dict(zip(planted, torch.eye(DIM), strict=False))
    masks = {key: mask.numpy() for key, mask in structures.items()}
    return measure_findings(similarity, tokens, lambda _: features, masks, grid, thresholds=thresholds or {})


def test_a_cyst_in_the_left_kidney(similarity: TextSimilarity, grid: MaskGrid) -> None:
    cyst = block(2, 5, slice(8, 14), slice(15, 20))
    (lesion,) = found(similarity, grid, {"kidney_cyst": cyst}, {"kidney_left": LEFT, "kidney_right": RIGHT})
    assert (lesion.kind, lesion.structure, lesion.side) == ("cyst", "kidney_left", "left")
    assert lesion.diameter_mm == pytest.approx(5 * 4.0)
    assert lesion.mean_hu == pytest.approx(7.0)
    w, h, d = lesion.center_ijk
    assert cyst[d, h, w]
    assert lesion.center_ras == pytest.approx((-4.0 * w, 3.0 * h, 5.0 * d))


def test_a_finding_without_a_place_is_left_out(similarity: TextSimilarity, grid: MaskGrid) -> None:
    assert found(similarity, grid, {"kidney_cyst": block(2, 5, slice(8, 14), slice(15, 20))}, {"liver": LEFT}) == ()


def test_fluid_beside_a_lung_is_one_finding_of_that_side(similarity: TextSimilarity, grid: MaskGrid) -> None:
    beside = block(1, 7, slice(2, 6), slice(0, 2)) | block(1, 7, slice(12, 16), slice(0, 2))
    lungs = {"lung_left": LEFT, "lung_right": RIGHT}
    two = found(similarity, grid, {"pleural_effusion": beside}, lungs)
    assert {(each.kind, each.structure, each.side) for each in two} == {("effusion", "lung_right", "right")}
    (one,) = found(similarity, grid, {"consolidation": beside}, lungs)
    assert one.structure == "lung_right"


def test_a_mass_of_the_muscle_has_the_side_of_the_body(similarity: TextSimilarity, grid: MaskGrid) -> None:
    (lesion,) = found(similarity, grid, {"soft_tissue_sarcoma": block(2, 6, slice(4, 9), slice(3, 7))}, {})
    assert (lesion.structure, lesion.side) == ("skeletal_muscle", "right")


def test_noise_is_not_a_finding(similarity: TextSimilarity, grid: MaskGrid) -> None:
    speck = block(3, 4, slice(5, 6), slice(16, 18))
    assert found(similarity, grid, {"kidney_cyst": speck}, {"kidney_left": LEFT}) == ()


def test_each_finding_has_its_own_number(similarity: TextSimilarity, grid: MaskGrid) -> None:
    planted = {
        "kidney_cyst": block(2, 5, slice(3, 8), slice(15, 20)),
        "kidney_stone": block(2, 5, slice(14, 18), slice(15, 20)),
    }
    lesions = found(similarity, grid, planted, {"kidney_left": LEFT})
    assert [each.label_value for each in lesions] == [1, 2]
    assert {each.kind for each in lesions} == {"cyst", "stone"}


def test_a_faint_finding_is_left_out(similarity: TextSimilarity, grid: MaskGrid) -> None:
    planted = {"kidney_cyst": block(2, 5, slice(8, 14), slice(15, 20)), "liver_cyst": RIGHT}
    structures = {"kidney_left": LEFT, "liver": RIGHT}
    both = found(similarity, grid, planted, structures)
    assert [each.structure for each in both] == ["kidney_left", "liver"]
    (one,) = found(similarity, grid, planted, structures, {"kidney_cyst": 1e3, "liver_cyst": -1e3})
    assert one.structure == "liver"


def test_strength_is_that_of_some_pixels_where_the_finding_can_be() -> None:
    logits = np.full((SLICES, SIDE, SIDE), -5.0)
    logits[3, 5, 14 : 14 + STRONG_PIXELS] = np.arange(STRONG_PIXELS) + 2.0
    logits[3, 5, 2:10] = 50.0
    structures = {"kidney_left": LEFT.numpy()}
    assert strength("kidney_cyst", logits, structures) == 2.0
    assert strength("kidney_cyst", logits, {"liver": LEFT.numpy()}) == -np.inf
    assert strength("soft_tissue_sarcoma", logits, {}) == 50.0
