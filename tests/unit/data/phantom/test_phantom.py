"""Phantoms: the same bits from a seed, organs on their side, lesions where the facts say, HU by phase."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ContrastPhase, Region, ScanFacts
from medvlsam2.data.phantom import Phantom, PhantomConfig, generate, write_phantom
from medvlsam2.data.phantom.pathology.lesions import largest_diameter_mm
from medvlsam2.data.phantom.patient import draw_patient
from medvlsam2.data.phantom.scene import LABEL_VALUES, STRUCTURE_KEYS
from medvlsam2.errors import InvalidConfig

COARSE = PhantomConfig(
    shape_ijk=(88, 88, 100),
    spacing_mm=(5.0, 5.0, 6.4),
    region="trunk",
    orientation="LPS",
    oblique_degrees=0.0,
    num_lesions=3,
)
PLAIN = PhantomConfig(
    shape_ijk=(112, 112, 48),
    region="abdomen",
    orientation="RAS",
    oblique_degrees=0.0,
    num_lesions=0,
    noise_hu=5.0,
)


@pytest.fixture(scope="module")
def trunks() -> list[Phantom]:
    """Some whole trunks with lesions."""
    return [generate(seed, COARSE) for seed in (0, 1, 2, 3)]


def centroid_ras(phantom: Phantom, key: str) -> np.ndarray:
    """Return the centre of a structure in world mm."""
    at = np.argwhere(phantom.label_map == LABEL_VALUES[key])
    return geometry.ijk_to_ras(at, phantom.volume.affine).mean(0)


def mean_hu(phantom: Phantom, key: str) -> float:
    """Return the mean HU of a structure."""
    return float(phantom.volume.hu[phantom.label_map == LABEL_VALUES[key]].mean())


def test_one_seed_gives_the_same_bits() -> None:
    config = PhantomConfig(shape_ijk=(64, 64, 40))
    first, second, other = generate(7, config), generate(7, config), generate(8, config)
    assert first.volume.content_hash == second.volume.content_hash
    assert np.array_equal(first.label_map, second.label_map)
    assert np.array_equal(first.lesion_map, second.lesion_map)
    assert first.facts == second.facts
    assert first.volume.content_hash != other.volume.content_hash


def test_every_key_is_in_the_vocabulary_once() -> None:
    assert set(STRUCTURE_KEYS) <= set(vocabulary.STRUCTURES)
    assert len(set(STRUCTURE_KEYS)) == len(STRUCTURE_KEYS) < 256


def test_labels_hold_the_key_of_each_value_of_the_map(trunks: list[Phantom]) -> None:
    for phantom in trunks:
        assert set(np.unique(phantom.label_map)) - {0} == set(phantom.labels)
        assert set(phantom.labels.values()) == set(phantom.facts.volumes_ml)
        assert phantom.label_map.shape == phantom.lesion_map.shape == phantom.volume.shape_ijk
        assert not set(phantom.facts.absent) & set(phantom.facts.volumes_ml)


def test_heights_of_organs_follow_anatomy(trunks: list[Phantom]) -> None:
    from_below = ["urinary_bladder", "small_bowel", "pancreas", "heart", "trachea"]
    for phantom in trunks:
        heights = [centroid_ras(phantom, key)[2] for key in from_below]
        assert heights == sorted(heights)
        levels = [f"vertebrae_{v}" for v in ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T6", "T3")]
        heights = [centroid_ras(phantom, key)[2] for key in levels]
        assert heights == sorted(heights)
        assert centroid_ras(phantom, "sternum")[1] > centroid_ras(phantom, "vertebrae_T6")[1] + 60.0


def test_volumes_are_measured_and_plausible(trunks: list[Phantom]) -> None:
    ranges_ml = {
        "liver": (700, 2800), "spleen": (45, 800), "kidney_left": (60, 330), "kidney_right": (60, 330),
        "heart": (350, 1100), "aorta": (70, 500), "lung_left": (1000, 4200), "lung_right": (1200, 4500),
        "pancreas": (25, 130), "urinary_bladder": (30, 900), "spinal_cord": (35, 130),
    }  # fmt: skip
    for phantom in trunks:
        voxel_ml = geometry.voxel_volume_ml(phantom.volume.affine)
        for key, volume_ml in phantom.facts.volumes_ml.items():
            measured = int((phantom.label_map == LABEL_VALUES[key]).sum()) * voxel_ml
            assert volume_ml == pytest.approx(measured, abs=1e-3)
            low, high = ranges_ml.get(key, (0.0, 5000.0))
            assert low < volume_ml < high, key


def test_lesions_lie_where_the_facts_say(trunks: list[Phantom]) -> None:
    for phantom in trunks:
        facts = phantom.facts
        assert facts.lesions_known
        assert len(facts.lesions) == 3
        assert set(np.unique(phantom.lesion_map)) == {0, 1, 2, 3}
        for lesion in facts.lesions:
            mask = phantom.lesion_map == lesion.label_value
            assert mask[lesion.center_ijk]
            if lesion.structure in LABEL_VALUES:
                assert (phantom.label_map[mask] == LABEL_VALUES[lesion.structure]).all()
            world = geometry.ijk_to_ras(np.array([lesion.center_ijk]), phantom.volume.affine)[0]
            assert world == pytest.approx(lesion.center_ras)
            assert lesion.mean_hu == pytest.approx(float(phantom.volume.hu[mask].mean()), abs=0.1)
            own_side = vocabulary.STRUCTURES[lesion.structure].side
            assert lesion.side == own_side or lesion.kind == "sarcoma"


def test_diameter_matches_the_size_of_a_lesion() -> None:
    config = PhantomConfig(shape_ijk=(112, 112, 72), region="abdomen", num_lesions=4, oblique_degrees=0.0)
    compact = 0
    for seed in range(6):
        phantom = generate(seed, config)
        voxel_ml = geometry.voxel_volume_ml(phantom.volume.affine)
        for lesion in phantom.facts.lesions:
            volume_mm3 = 1000.0 * voxel_ml * int((phantom.lesion_map == lesion.label_value).sum())
            ball_mm3 = np.pi / 6.0 * lesion.diameter_mm**3
            if lesion.kind in ("cyst", "metastasis", "nodule") and lesion.diameter_mm > 15.0:
                compact += 1
                assert 0.3 * ball_mm3 < volume_mm3 < 1.15 * ball_mm3
    assert compact >= 3


def test_diameter_of_a_known_ball_and_of_a_tilted_vessel() -> None:
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    index = np.indices((40, 40, 24)) - np.array([20, 20, 12])[:, None, None, None]
    mm = index * np.array([1.5, 1.5, 3.0])[:, None, None, None]
    ball = np.argwhere((mm**2).sum(0) <= 15.0**2)
    assert largest_diameter_mm(ball, affine) == pytest.approx(30.0, abs=3.0)
    vessel = np.argwhere((mm[0] - 0.3 * mm[2]) ** 2 + mm[1] ** 2 <= 12.0**2)
    assert largest_diameter_mm(vessel, affine, transverse=True) == pytest.approx(24.0, abs=3.0)
    assert largest_diameter_mm(vessel, affine) > 60.0


def test_cysts_are_water_and_stones_are_dense() -> None:
    means: dict[str, list[float]] = {"cyst": [], "stone": [], "nodule": []}
    config = PhantomConfig(shape_ijk=(112, 112, 60), region="abdomen", num_lesions=5, phase="portal venous")
    for seed in range(6):
        for lesion in generate(seed, config).facts.lesions:
            if lesion.diameter_mm > 12.0 and lesion.kind in means:
                means[lesion.kind].append(lesion.mean_hu)
    assert len(means["cyst"]) >= 3
    assert all(-10.0 < hu < 45.0 for hu in means["cyst"])
    assert all(hu > 60.0 for hu in means["stone"])


@pytest.mark.parametrize(
    ("phase", "aorta_hu", "spleen_hu", "liver_hu"),
    [
        ("non-contrast", (25, 75), (30, 65), (5, 75)),
        ("arterial", (210, 400), (75, 165), (15, 95)),
        ("portal venous", (105, 200), (85, 165), (60, 140)),
        ("delayed", (75, 160), (65, 130), (45, 120)),
    ],
)
def test_hu_follow_the_contrast_phase(
    phase: ContrastPhase, aorta_hu: tuple[int, int], spleen_hu: tuple[int, int], liver_hu: tuple[int, int]
) -> None:
    config = PhantomConfig(**{**vars(PLAIN), "phase": phase})
    for seed in (1, 2):
        phantom = generate(seed, config)
        assert phantom.facts.phase == phase
        limits = {"aorta": aorta_hu, "spleen": spleen_hu, "liver": liver_hu}
        for key, (low, high) in limits.items():
            if key in phantom.facts.volumes_ml:
                assert low < mean_hu(phantom, key) < high, key


def test_hu_of_air_lung_and_bone(trunks: list[Phantom]) -> None:
    for phantom in trunks:
        corner = phantom.volume.hu[:4, :4].mean()
        assert -1024 <= corner < -930
        aerated = (phantom.label_map == LABEL_VALUES["lung_left"]) & (phantom.lesion_map == 0)
        assert -930 < phantom.volume.hu[aerated].mean() < -650
        assert 140 < mean_hu(phantom, "vertebrae_L3") < 480
        assert phantom.volume.hu.dtype == np.int16


@pytest.mark.parametrize(
    ("region", "present", "absent"),
    [
        (
            "head and neck",
            {"mandible", "brainstem", "spinal_cord", "larynx", "tongue", "vertebrae_C1", "vertebrae_C7", "skull"},
            {"liver", "kidney_left", "hip_left"},
        ),
        ("chest", {"heart", "lung_left", "lung_right", "trachea"}, {"urinary_bladder", "hip_left"}),
        ("abdomen", {"liver", "pancreas", "stomach"}, {"urinary_bladder", "trachea"}),
        ("pelvis", {"urinary_bladder", "hip_left", "femur_right", "sacrum"}, {"liver", "heart"}),
        ("chest and abdomen", {"heart", "liver", "lung_left"}, {"femur_left"}),
        ("abdomen and pelvis", {"liver", "urinary_bladder"}, {"trachea"}),
        ("thighs", {"femur_left", "femur_right"}, {"liver", "heart", "skull"}),
    ],
)
def test_region_decides_what_is_seen(region: Region, present: set[str], absent: set[str]) -> None:
    phantom = generate(5, PhantomConfig(shape_ijk=(72, 72, 60), region=region))
    assert phantom.facts.region == region
    assert present <= set(phantom.facts.volumes_ml)
    assert absent <= set(phantom.facts.absent)


def test_prostate_and_uterus_follow_sex(trunks: list[Phantom]) -> None:
    assert {phantom.facts.sex for phantom in trunks} == {"female", "male"}
    for phantom in trunks:
        present, lacking = ("prostate", "uterus") if phantom.facts.sex == "male" else ("uterus", "prostate")
        assert present in phantom.facts.volumes_ml
        assert lacking in phantom.facts.absent


def test_removed_organs_are_absent() -> None:
    drawn = [draw_patient(np.random.default_rng([seed, 1])).removed for seed in range(300)]
    assert 20 <= sum("gallbladder" in removed for removed in drawn) <= 55
    for organ in ("gallbladder", "spleen", "kidney_left", "kidney_right"):
        seed = next(seed for seed, removed in enumerate(drawn) if organ in removed)
        phantom = generate(seed, PhantomConfig(shape_ijk=(56, 56, 40), region="abdomen", num_lesions=0))
        assert organ in phantom.facts.absent
        assert LABEL_VALUES[organ] not in phantom.label_map


def test_config_is_kept() -> None:
    config = PhantomConfig(
        shape_ijk=(40, 64, 56), spacing_mm=(5.0, 3.0, 3.5), orientation="SLA", oblique_degrees=0.0,
        region="abdomen", phase="delayed", num_lesions=2, noise_hu=0.0,
    )  # fmt: skip
    phantom = generate(3, config)
    assert phantom.volume.shape_ijk == (40, 64, 56)
    assert phantom.volume.spacing_mm == pytest.approx((5.0, 3.0, 3.5))
    assert phantom.volume.orientation == "SLA"
    assert (phantom.facts.region, phantom.facts.phase) == ("abdomen", "delayed")
    assert len(phantom.facts.lesions) == 2


def test_noise_has_the_configured_strength() -> None:
    quiet, loud = (generate(2, PhantomConfig(**{**vars(PLAIN), "noise_hu": noise_hu})) for noise_hu in (0.0, 20.0))
    difference = loud.volume.hu.astype(float) - quiet.volume.hu
    assert difference[(quiet.volume.hu > -900)].std() == pytest.approx(20.0, rel=0.05)


def test_drawn_grids_stay_below_the_limit() -> None:
    phantom = generate(1, PhantomConfig(max_voxels=150_000))
    assert phantom.volume.hu.size <= 150_000


@pytest.mark.parametrize(
    ("bad", "value"),
    [
        ({"orientation": "RRS"}, "RRS"),
        ({"num_lesions": 9}, "9"),
        ({"noise_hu": -1.0}, "-1.0"),
        ({"shape_ijk": (4, 64, 64)}, "(4, 64, 64)"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "(0.0, 1.0, 1.0)"),
        ({"oblique_degrees": 45.0}, "45.0"),
        ({"max_voxels": 10}, "10"),
    ],
)
def test_values_outside_the_range_are_refused_by_name(bad: dict[str, object], value: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        PhantomConfig(**bad)  # type: ignore[arg-type]
    assert value in str(caught.value)


def test_written_files_hold_the_same_grid_and_facts(tmp_path: Path) -> None:
    phantom = generate(4, PhantomConfig(shape_ijk=(40, 44, 36), orientation="LPS", oblique_degrees=8.0))
    write_phantom(phantom, tmp_path / "case")
    arrays = {
        "image": phantom.volume.hu, "label": phantom.label_map, "lesions": phantom.lesion_map,
    }  # fmt: skip
    for name, array in arrays.items():
        image = nib.load(tmp_path / "case" / f"{name}.nii.gz")
        assert image.affine == pytest.approx(phantom.volume.affine, abs=1e-3)
        assert image.header.get_data_dtype() == array.dtype
        assert np.array_equal(np.asarray(image.dataobj), array)
    meta = json.loads((tmp_path / "case" / "meta.json").read_text(encoding="utf-8"))
    assert {int(value): key for value, key in meta["labels"].items()} == phantom.labels
    record = json.loads((tmp_path / "case" / "facts.json").read_text(encoding="utf-8"))
    assert ScanFacts.from_json(record) == phantom.facts
