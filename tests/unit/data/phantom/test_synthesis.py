"""Scans that are synthesised from labelled scans: texture and shape change; sides, labels and borders do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.phantom.tissues import Tissues
from medvlsam2.data.synthesis import SynthesisConfig, synthesise
from medvlsam2.data.synthesis.shape import draw_warp, warp_image, warp_labels
from medvlsam2.data.synthesis.tissue import LabelledArray, recolour, tissue_of
from medvlsam2.data.volume import HU_MAX, HU_MIN, CTVolume
from medvlsam2.errors import GeometryMismatch

SPACING = np.array([3.0, 3.0, 3.0])
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def made(phantom: Phantom, seed: int, config: SynthesisConfig | None = None) -> tuple[CTVolume, LabelMap]:
    label_map = LabelMap(phantom.label_map.astype(np.uint16), phantom.volume.affine)
    return synthesise(phantom.volume, label_map, phantom.labels, default_rng(seed), config)


def centre_ras(label_map: LabelMap, value: int) -> np.ndarray:
    return label_map.affine[:3, :3] @ np.argwhere(label_map.values == value).mean(axis=0) + label_map.affine[:3, 3]


@pytest.mark.parametrize("seed", range(4))
def test_a_synthesised_scan_differs_and_keeps_the_sides(small_phantom: Phantom, seed: int) -> None:
    volume, label_map = made(small_phantom, seed, SynthesisConfig(slab_share=0.0))
    assert label_map.values.shape == volume.shape_ijk
    np.testing.assert_array_equal(label_map.affine, volume.affine)
    assert volume.orientation == "RAS"
    assert 1.0 <= volume.spacing_mm[2] <= 5.0
    assert label_map.names == small_phantom.labels
    values = {key: value for value, key in small_phantom.labels.items()}
    for left, right in (("kidney_left", "kidney_right"), ("lung_lower_lobe_left", "lung_lower_lobe_right")):
        pair = [(label_map.values == values[key]).any() for key in (left, right) if key in values]
        if len(pair) == 2 and all(pair):
            assert centre_ras(label_map, values[left])[0] < centre_ras(label_map, values[right])[0]
    liver = label_map.values == values["liver"]
    voxel_ml = np.prod(volume.spacing_mm) / 1000
    assert 0.5 < liver.sum() * voxel_ml / small_phantom.facts.volumes_ml["liver"] < 2.0
    assert not np.array_equal(
        volume.hu[liver][:50], small_phantom.volume.hu[small_phantom.label_map == values["liver"]][:50]
    )


def test_a_seed_always_gives_the_same_synthesised_scan(small_phantom: Phantom) -> None:
    first, again, other = (made(small_phantom, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first[0].hu, again[0].hu)
    np.testing.assert_array_equal(first[1].values, again[1].values)
    assert first[0].content_hash != other[0].content_hash


def test_organs_stay_where_they_are_to_each_other_in_a_sheared_scan(small_phantom: Phantom) -> None:
    """Two ways to name the axes of this grid are as good; array and affine must take the same one."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:2, :2] = [[-1.2, 1.2], [-2.7, -2.7]]
    labels = LabelMap(small_phantom.label_map.astype(np.uint16), affine)
    volume = CTVolume(small_phantom.volume.hu, affine, "sheared")
    _, made_labels = synthesise(
        volume, labels, small_phantom.labels, default_rng(0), SynthesisConfig(slab_share=0.0, scale=0.0)
    )
    values = {key: value for value, key in small_phantom.labels.items()}
    ways = [centre_ras(each, values["spleen"]) - centre_ras(each, values["liver"]) for each in (labels, made_labels)]
    cosine = ways[0] @ ways[1] / np.prod([np.linalg.norm(way) for way in ways])
    assert cosine > 0.95


def test_labels_of_another_grid_are_refused(small_phantom: Phantom) -> None:
    moved = small_phantom.volume.affine.copy()
    moved[0, 3] += 1
    label_map = LabelMap(small_phantom.label_map.astype(np.uint16), moved)
    with pytest.raises(GeometryMismatch, match="Label map of"):
        synthesise(small_phantom.volume, label_map, {}, default_rng(0))


@pytest.mark.parametrize("seed", range(12))
def test_a_warp_neither_folds_nor_mirrors(seed: int) -> None:
    new_mm = np.array([4.0, 4.0, 4.0])
    warp = draw_warp((80, 60, 50), AFFINE, SPACING, default_rng(seed), scale=0.15, slab_mm=None, new_spacing_mm=new_mm)
    slopes = np.stack([np.stack(np.gradient(part)) for part in warp.source_ijk])
    determinants = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)))
    assert determinants.min() > 0.05
    assert 0.5 < np.median(determinants) / (4 / 3) ** 3 < 2.0


def test_image_and_labels_move_together_and_borders_stay_intact() -> None:
    labels = np.zeros((60, 50, 40), dtype=np.uint16)
    labels[15:30, 15:35, 10:30] = 2
    labels[30:45, 15:35, 10:30] = 5
    hu = np.select([labels == 2, labels == 5], [100, 400], -500).astype(np.int16)
    warp = draw_warp(
        labels.shape, AFFINE, SPACING, default_rng(3), scale=0.1, slab_mm=None, new_spacing_mm=np.array([2.0, 2.0, 2.5])
    )
    image, moved = warp_image(hu, warp), warp_labels(labels, warp)
    assert set(np.unique(moved)) == {0, 2, 5}
    for value, expected in ((2, 100), (5, 400)):
        assert np.median(image[moved == value]) == pytest.approx(expected, abs=15)
        share = (np.abs(image - expected) < 150)[moved == value].mean()
        assert share > 0.9
    assert image.min() >= HU_MIN
    assert image.max() <= HU_MAX
    beside = moved[1:] * 10 + moved[:-1]
    assert (beside == 52).any() or (beside == 25).any(), "neighbours touch: no gap of background opens between them"


def test_a_slab_has_the_requested_length() -> None:
    warp = draw_warp(
        (60, 50, 100),
        AFFINE,
        SPACING,
        default_rng(3),
        scale=0.1,
        slab_mm=60.0,
        new_spacing_mm=np.array([3.0, 3.0, 2.0]),
    )
    assert warp.source_ijk.shape[3] == 30


class TestRecolour:
    def scan(self) -> LabelledArray:
        hu = np.full((60, 60, 24), -100, dtype=np.float32)
        labels = np.zeros(hu.shape, dtype=np.uint16)
        for value, (x, mean) in {1: (4, 50.0), 2: (24, 40.0), 3: (44, 500.0)}.items():
            labels[x : x + 14, 10:40, 4:20] = value
            hu[x : x + 14, 10:40, 4:20] = mean
        hu[4:18, 45:55, 4:20] = 55.0
        hu += default_rng(0).normal(0, 10, hu.shape).astype(np.float32)
        return LabelledArray(hu, labels, {1: "liver", 2: "aorta", 3: "hip_left"}, SPACING)

    @pytest.mark.parametrize("own_texture", [True, False])
    def test_each_structure_gets_its_tissue(self, own_texture: bool) -> None:
        scan = self.scan()
        before = scan.hu.copy()
        tissues = Tissues("arterial", 150.0, default_rng(1))
        new = recolour(scan, tissues, default_rng(2), own_texture=own_texture)
        np.testing.assert_array_equal(scan.hu, before)
        inner = {value: new[scan.labels == value] for value in (1, 2, 3)}
        assert np.median(inner[2]) == pytest.approx(tissues.hu["artery"], abs=12)
        assert np.median(inner[1]) == pytest.approx(tissues.hu["liver"], abs=25)
        assert np.median(inner[3]) > 350
        assert np.median(new[(scan.labels == 0) & (before < -60)]) == pytest.approx(-100, abs=5), "fat stays fat"

    def test_real_texture_is_kept(self) -> None:
        scan = self.scan()
        new = recolour(scan, Tissues("portal venous", 150.0, default_rng(1)), default_rng(2), own_texture=True)
        core = (slice(27, 35), slice(14, 36), slice(7, 17))
        assert np.corrcoef(new[core].ravel(), scan.hu[core].ravel())[0, 1] > 0.8

    def test_unlabelled_and_unknown_structures_keep_their_tissue(self) -> None:
        assert tissue_of("spinal_cord") is None
        assert tissue_of("") is None
        assert [tissue_of(key) for key in ("kidney_right", "vertebrae_L1", "iliac_artery_left", "portal_vein")] == [
            "kidney",
            "bone",
            "artery",
            "portal",
        ]
