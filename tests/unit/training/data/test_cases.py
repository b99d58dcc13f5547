"""Cached cases: the known facts of a scan; a missing label does not mean that a structure is absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from _pytest.logging import LogCaptureFixture

from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.phantom.files import write_phantom
from medvlsam2.data.synthesis import SynthesisConfig
from medvlsam2.errors import DatasetError, GeometryMismatch
from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.training.data import case_files
from medvlsam2.training.data.caching import cache_scans
from medvlsam2.training.data.case_files import cache_phantom, cache_record, cache_scan, cache_synthetic
from medvlsam2.training.data.cases import Case, load_case
from medvlsam2.training.data.conversation_samples import conversation_sample

MASK_SIDE = 4 * TINY_RANDOM.sam2.image_size // TINY_RANDOM.sam2.backbone_stride


@pytest.fixture
def phantom_files(small_phantom: Phantom, tmp_path: Path) -> Path:
    """The phantom as files."""
    write_phantom(small_phantom, tmp_path / "scans" / "phantom")
    return tmp_path / "scans" / "phantom"


def test_a_phantom_is_cached_with_everything_that_is_known(
    small_phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(case_files.phantom, "generate", lambda seed: drawn.append(seed) or small_phantom)
    case = load_case(cache_phantom(5, tmp_path, TINY_RANDOM))
    cache_phantom(5, tmp_path, TINY_RANDOM)
    assert drawn == [5], "what is cached is not drawn again"
    assert case.is_phantom
    assert case.facts == small_phantom.facts
    assert case.slice_spacing_mm == pytest.approx(small_phantom.volume.spacing_mm[2])
    assert case.hu.dtype == np.int16
    assert case.hu.shape[1:] == (64, 64)
    assert case.labels.shape == case.lesions.shape == (case.num_slices, MASK_SIDE, MASK_SIDE)
    assert case.whole.shape == (1, *TINY_RANDOM.vit.image_size_dhw)
    assert set(np.unique(case.lesions)) <= {0, *(lesion.label_value for lesion in small_phantom.facts.lesions)}
    for key, volume_ml in small_phantom.facts.volumes_ml.items():
        mask = case.structure_mask(key)
        assert mask is not None, key
        if volume_ml > 300:
            assert mask.any(), key
            assert key in case.present_keys, key
    liver = case.structure_mask("liver")
    assert liver is not None
    inside_hu = case.hu[:, ::2, ::2][:, :MASK_SIDE, :MASK_SIDE][liver]
    assert 20 < np.median(inside_hu) < 200, "labels lie on the tissue that they name"


def write_case(root: Path, case_id: str, files: Path, labels: dict[int, str]) -> None:
    """A case in the layout of the project's data set."""
    target = root / "ct" / case_id
    target.mkdir(parents=True)
    for name in ("image.nii.gz", "label.nii.gz"):
        (target / name).write_bytes((files / name).read_bytes())
    (target / "meta.json").write_text(
        json.dumps({"labels": {str(value): name for value, name in labels.items()}}), encoding="utf-8"
    )


class TestLabelledScan:
    def scan(self, files: Path, cache: Path, small_phantom: Phantom, *keys: str) -> Case:
        names = {value: key for value, key in small_phantom.labels.items() if key in keys}
        folder = cache_scan(files / "image.nii.gz", files / "label.nii.gz", names, cache, TINY_RANDOM)
        return load_case(folder)

    def test_not_contoured_is_not_absent(self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom) -> None:
        case = self.scan(phantom_files, tmp_path / "cache", small_phantom, "liver", "kidney_left")
        assert case.keys == ("kidney_left", "liver")
        assert case.structure_mask("liver") is not None
        assert case.structure_mask("spleen") is None
        assert case.facts is not None
        assert "spleen" not in case.facts.absent
        assert set(case.facts.volumes_ml) == {"liver", "kidney_left"}
        assert not case.facts.lesions_known
        assert not case.is_phantom
        expected_ml = small_phantom.facts.volumes_ml["liver"]
        assert case.facts.volumes_ml["liver"] == pytest.approx(expected_ml, rel=1e-3)
        about = conversation_sample(case.facts, np.random.default_rng(0), 50, measured_share=0.0)
        assert about is not None
        answers = [item.answer.lower() for item in about.conversations]
        assert not any("spleen" in answer and "not" in answer for answer in answers)

    def test_a_whole_needs_all_of_its_parts(self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom) -> None:
        whole = next(
            key
            for key, structure in vocabulary.STRUCTURES.items()
            if set(structure.parts) == {"kidney_left", "kidney_right"}
        )
        one = self.scan(phantom_files, tmp_path / "one", small_phantom, "kidney_left")
        both = self.scan(phantom_files, tmp_path / "both", small_phantom, "kidney_left", "kidney_right")
        assert one.structure_mask(whole) is None
        assert whole not in one.present_keys
        mask, left, right = (both.structure_mask(key) for key in (whole, "kidney_left", "kidney_right"))
        assert mask is not None
        assert left is not None
        assert right is not None
        np.testing.assert_array_equal(mask, left | right)
        assert left.any()
        assert right.any()
        assert whole in both.present_keys

    def test_the_left_kidney_is_on_the_right_of_the_image(
        self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom
    ) -> None:
        case = self.scan(phantom_files, tmp_path / "both", small_phantom, "kidney_left", "kidney_right")
        left, right = case.structure_mask("kidney_left"), case.structure_mask("kidney_right")
        assert left is not None
        assert right is not None
        assert np.nonzero(left)[2].mean() > MASK_SIDE / 2 > np.nonzero(right)[2].mean()

    def test_unknown_names_are_left_out_with_a_line(
        self, phantom_files: Path, tmp_path: Path, caplog: LogCaptureFixture
    ) -> None:
        folder = cache_scan(
            phantom_files / "image.nii.gz",
            phantom_files / "label.nii.gz",
            {1: "Liver", 2: "zzz of nothing", 3: "Liver"},
            tmp_path / "cache",
            TINY_RANDOM,
        )
        case = load_case(folder)
        assert case.keys == ("liver",)
        assert set(np.unique(case.labels)) <= {0, 1}
        assert "label 2 of phantom is not in the vocabulary" in caplog.text

    def test_a_label_on_another_grid_is_refused(
        self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom
    ) -> None:
        from medvlsam2.data.label_maps import write_label_map

        moved = small_phantom.volume.affine.copy()
        moved[0, 3] += 1
        write_label_map(tmp_path / "moved.nii.gz", small_phantom.label_map, moved, {})
        with pytest.raises(GeometryMismatch, match=r"moved\.nii\.gz"):
            cache_scan(phantom_files / "image.nii.gz", tmp_path / "moved.nii.gz", {1: "liver"}, tmp_path, TINY_RANDOM)


def test_partly_contoured_labels_are_left_out(phantom_files: Path, tmp_path: Path) -> None:
    labels = {1: "vertebra", 2: "lymph node", 3: "liver"}
    root = tmp_path / "data"
    for case_id in ("4DLung_113", "other"):
        write_case(root, case_id, phantom_files, labels)
    (root / "ct" / "unlabelled").mkdir()
    folders = cache_scans(labelled_scans(root), tmp_path / "cache", TINY_RANDOM, synthetic=0, workers=1)
    assert [load_case(folder).keys for folder in folders] == [("liver",), ("liver", "lymph_node", "vertebrae")]


def test_a_real_scan_is_cached(shared_data: Path, tmp_path: Path) -> None:
    record = next(record for record in labelled_scans(shared_data) if record.case_id == "TS_abdo_sm")
    folder = cache_record(record, tmp_path, TINY_RANDOM)
    case = load_case(folder)
    assert case.num_slices == 30
    assert case.slice_spacing_mm == pytest.approx(3.0)
    assert {"liver", "spleen", "aorta"} <= set(case.present_keys)
    assert case.facts is not None
    assert 100 < case.facts.volumes_ml["liver"] < 3000


class TestSyntheticScan:
    def record(self, files: Path, small_phantom: Phantom) -> ScanRecord:
        names = {value: key for value, key in small_phantom.labels.items() if key in ("liver", "spleen", "aorta")}
        return ScanRecord(
            case_id="a",
            patient_id="a",
            image=files / "image.nii.gz",
            label=files / "label.nii.gz",
            names=names,
            partly_contoured=("aorta",),
        )

    def test_each_seed_is_another_case(self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom) -> None:
        record = self.record(phantom_files, small_phantom)
        whole = SynthesisConfig(slab_share=0.0)
        folders = [cache_synthetic(record, seed, tmp_path, TINY_RANDOM, whole) for seed in (1, 2, 1)]
        assert folders[0] == folders[2] != folders[1]
        first, second = load_case(folders[0]), load_case(folders[1])
        assert first.keys == ("liver", "spleen"), "what is only partly contoured is no truth"
        assert "liver" in first.present_keys
        assert not first.is_phantom
        assert first.facts is not None
        assert not first.facts.lesions_known
        assert first.hu.shape != second.hu.shape or not np.array_equal(first.hu, second.hu)
        liver = first.structure_mask("liver")
        assert liver is not None
        inside_hu = first.hu[:, ::2, ::2][:, :MASK_SIDE, :MASK_SIDE][liver]
        assert 0 < np.median(inside_hu) < 200, "labels lie on the tissue that they name"

    def test_another_setting_is_another_case(self, phantom_files: Path, tmp_path: Path, small_phantom: Phantom) -> None:
        record = self.record(phantom_files, small_phantom)
        one, other = (
            cache_synthetic(record, 1, tmp_path, TINY_RANDOM, SynthesisConfig(scale=scale)) for scale in (0.0, 0.1)
        )
        assert one != other

    def test_data_that_cannot_be_trained_on_is_refused(self, tmp_path: Path) -> None:
        unlabelled = ScanRecord(case_id="b", patient_id="b", image=tmp_path / "b.nii.gz")
        with pytest.raises(DatasetError, match="'b' has no label map"):
            cache_synthetic(unlabelled, 1, tmp_path, TINY_RANDOM)


def test_a_folder_that_is_no_case_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="'empty' is no cached case"):
        load_case(tmp_path / "empty")
    (tmp_path / "empty" / "case.json").write_text(json.dumps({"cache_version": 0}), encoding="utf-8")
    with pytest.raises(DatasetError, match="has version 0; 3 is allowed"):
        load_case(tmp_path / "empty")
