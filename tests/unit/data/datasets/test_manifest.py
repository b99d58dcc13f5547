"""Manifests: every layout gives the same kind of record, and a record survives being written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.cli import main
from medvlsam2.data.datasets.export import export_nnunet
from medvlsam2.data.datasets.layouts import group_patients, scan_folder
from medvlsam2.data.datasets.manifest import ScanRecord, read_manifest, write_manifest
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.errors import DatasetError
from medvlsam2.training.data.caching import allot

SHAPE = (6, 7, 8)


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    hu = np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, np.eye(4)), path)
    return path


def label(path: Path, *values: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(SHAPE, dtype=np.uint8)
    for value in values:
        array[value % SHAPE[0]] = value
    write_label_map(path, array, np.eye(4), {})
    return path


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def project(root: Path) -> None:
    for case_id in ("TS_abdo", "TS_abdo_sm", "4DLung_113", "bare"):
        image(root / "ct" / case_id / "image.nii.gz")
        if case_id != "bare":
            label(root / "ct" / case_id / "label.nii.gz", 1)
            names = {"1": "vertebra", "2": "carina"} if case_id == "4DLung_113" else {"1": "spleen"}
            meta = {"labels": names, "licence": "MIT", "source": "somewhere"}
            write_json(root / "ct" / case_id / "meta.json", meta)
    write_json(root / "split.json", {"train": ["TS_abdo", "TS_abdo_sm", "4DLung_113"], "val": ["bare"]})


def nnunet(root: Path, channels: dict[str, str] | None = None) -> None:
    image(root / "imagesTr" / "a_0001.nii.gz")
    image(root / "imagesTr" / "a_0000.nii.gz")
    label(root / "labelsTr" / "a.nii.gz", 1)
    image(root / "imagesTs" / "b_0001.nii.gz")
    labels = {"background": 0, "liver": 1, "tumour": 2, "liver and tumour": [1, 2], "ignore": 3}
    channel_names = channels or {"0": "PET", "1": "CT"}
    write_json(
        root / "dataset.json",
        {
            "channel_names": channel_names,
            "labels": labels,
            "numTraining": 1,
            "file_ending": ".nii.gz",
            "licence": "CC0",
        },
    )


def decathlon(root: Path, modality: dict[str, str] | None = None) -> None:
    for name in ("spleen_1", "spleen_2", "spleen_3"):
        image(root / "imagesTr" / f"{name}.nii.gz")
        label(root / "labelsTr" / f"{name}.nii.gz", 1)
    card = {
        "name": "Spleen",
        "licence": "CC-BY-SA 4.0",
        "reference": "MSKCC",
        "modality": modality or {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "training": [
            {"image": f"./imagesTr/spleen_{n}.nii.gz", "label": f"./labelsTr/spleen_{n}.nii.gz"} for n in (1, 2)
        ],
        "validation": [{"image": "./imagesTr/spleen_3.nii.gz", "label": "./labelsTr/spleen_3.nii.gz"}],
        "test": ["./imagesTs/spleen_9.nii.gz"],
    }
    write_json(root / "dataset.json", card)


def studies(root: Path) -> None:
    image(root / "scan1.nii.gz")
    image(root / "scan2.nii.gz")
    label(root / "labels" / "final" / "scan1.nii.gz", 1, 2)
    info = {"label_info": [{"name": "liver", "idx": 1}, {"name": "my own thing", "idx": 2}]}
    write_json(
        root / "datastore_v2.json",
        {
            "images_dir": ".",
            "labels_dir": "labels",
            "objects": {
                "scan1": {
                    "image": {"ext": ".nii.gz", "info": {"PatientID": "p7"}},
                    "labels": {"final": {"ext": ".nii.gz", "info": info}},
                },
                "scan2": {"image": {"ext": ".nii.gz", "info": {}}, "labels": {}},
            },
        },
    )


def m3d_seg(root: Path) -> None:
    for case in ("1", "2"):
        (root / "0003" / case).mkdir(parents=True)
        np.save(root / "0003" / case / "image.npy", np.zeros((1, 4, 5, 6), np.float32))
        (root / "0003" / case / "mask_(2, 4, 5, 6).npz").write_bytes(b"sparse")
    items = [{"image": f"0003/{n}/image.npy", "label": f"0003/{n}/mask_(2, 4, 5, 6).npz"} for n in (1, 2)]
    labels = {"0": "background", "1": "liver", "2": "kidney"}
    write_json(root / "0003" / "0003.json", {"labels": labels, "train": items[:1], "test": items[1:]})


def m3d_refseg(root: Path) -> None:
    image(root / "s0000" / "ct.nii.gz")
    label(root / "s0000" / "mask.nii.gz", 1)
    write_json(root / "s0000" / "text.json", {"1": "the large cyst in the left kidney"})


def m3d_cap(root: Path) -> None:
    folder = root / "ct_case" / "000006" / "Axial_bone"
    folder.mkdir(parents=True)
    (folder.parent / "text.txt").write_text("study_findings: none.", encoding="utf-8")
    item = {"image": "ct_case/000006/Axial_bone", "text": "ct_case/000006/text.txt"}
    write_json(root / "M3D_Cap.json", {"train": [item], "test500": []})


EXPECTED: dict[str, tuple[Callable[[Path], None], str, list[tuple[Any, ...]]]] = {
    "project": (
        project,
        "this project's layout",
        [
            ("4DLung_113", "4DLung_113", "train", {1: "vertebra", 2: "carina"}, True, True),
            ("TS_abdo", "TS_abdo", "train", {1: "spleen"}, True, True),
            ("TS_abdo_sm", "TS_abdo", "train", {1: "spleen"}, True, True),
            ("bare", "bare", "val", {}, False, True),
        ],
    ),
    "nnunet": (
        nnunet,
        "nnU-Net raw",
        [("a", "a", "train", {1: "liver", 2: "tumour"}, True, True), ("b", "b", "test", {}, False, True)],
    ),
    "decathlon": (
        decathlon,
        "a decathlon task",
        [
            *[(f"spleen_{n}", f"spleen_{n}", "train", {1: "spleen"}, True, True) for n in (1, 2)],
            ("spleen_3", "spleen_3", "val", {1: "spleen"}, True, True),
            ("spleen_9", "spleen_9", "test", {}, False, True),
        ],
    ),
    "studies": (
        studies,
        "a MONAI Label studies folder",
        [("scan1", "p7", None, {1: "liver", 2: "my own thing"}, True, True)],
    ),
    "m3d_seg": (
        m3d_seg,
        "M3D-Seg",
        [
            ("0003_1", "0003_1", "train", {1: "liver", 2: "kidney"}, True, False),
            ("0003_2", "0003_2", "test", {1: "liver", 2: "kidney"}, True, False),
        ],
    ),
    "m3d_refseg": (
        m3d_refseg,
        "M3D-RefSeg",
        [("s0000", "s0000", None, {1: "the large cyst in the left kidney"}, True, True)],
    ),
    "m3d_cap": (m3d_cap, "M3D-Cap", [("000006_Axial_bone", "000006", "train", {}, False, False)]),
}


@pytest.mark.parametrize("layout", EXPECTED)
def test_each_layout_is_recognised_and_listed(layout: str, tmp_path: Path) -> None:
    make, name, expected = EXPECTED[layout]
    make(tmp_path)
    found, records = scan_folder(tmp_path)
    assert found == name
    told = [(r.case_id, r.patient_id, r.split, dict(r.names), r.label is not None, r.in_hounsfield) for r in records]
    assert told == expected
    for record in records:
        assert record.image.exists() or record.split == "test"
        assert record.label is None or record.label.exists()


@pytest.mark.parametrize("layout", EXPECTED)
def test_a_record_survives_being_written(layout: str, tmp_path: Path) -> None:
    EXPECTED[layout][0](tmp_path / "data")
    _, records = scan_folder(tmp_path / "data")
    write_manifest(tmp_path / "m.jsonl", records)
    again = read_manifest(tmp_path / "m.jsonl")
    assert [r.image.resolve() for r in again] == [r.image.resolve() for r in records]
    for before, after in zip(records, again, strict=True):
        assert (after.case_id, after.names, after.split) == (before.case_id, before.names, before.split)
        assert (after.label is None) == (before.label is None)
        assert (after.report is None) == (before.report is None)
        assert after.partly_contoured == before.partly_contoured
        assert (after.licence, after.source, after.patient_id) == (before.licence, before.source, before.patient_id)


def test_a_data_set_may_move_with_its_manifest(tmp_path: Path) -> None:
    project(tmp_path / "here")
    write_manifest(tmp_path / "here" / "m.jsonl", scan_folder(tmp_path / "here")[1])
    assert str(tmp_path) not in (tmp_path / "here" / "m.jsonl").read_text(encoding="utf-8")
    (tmp_path / "here").rename(tmp_path / "there")
    records = read_manifest(tmp_path / "there" / "m.jsonl")
    assert all(record.image.exists() for record in records)


def test_facts_beside_the_scan_are_kept(tmp_path: Path) -> None:
    project(tmp_path)
    lung = scan_folder(tmp_path)[1][0]
    assert (lung.licence, lung.source) == ("MIT", "somewhere")
    assert lung.partly_contoured == ("vertebra", "lymph node")
    assert lung.known_names == {2: "carina"}


def test_the_channel_named_ct_is_taken(tmp_path: Path) -> None:
    nnunet(tmp_path)
    assert [record.image.name for record in scan_folder(tmp_path)[1]] == ["a_0001.nii.gz", "b_0001.nii.gz"]


def test_our_own_export_is_read_back(tmp_path: Path) -> None:
    studies(tmp_path / "studies")
    exported = export_nnunet(tmp_path / "studies", tmp_path / "raw")
    layout, records = scan_folder(exported.folder)
    assert layout == "nnU-Net raw"
    assert [(r.case_id, dict(r.names)) for r in records] == [("scan1", {1: "liver", 2: "my_own_thing"})]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root.mkdir(exist_ok=True), "Looked for: this project's layout: ct/<case>/image.nii.gz"),
        (lambda root: nnunet(root, {"0": "T1", "1": "T2"}), "none named CT"),
        (lambda root: decathlon(root, {"0": "FLAIR", "1": "T1w"}), "scans of one channel, CT, are needed"),
        (lambda root: write_json(root / "dataset.json", {"training": [{"label": "x"}]}), "cannot be read"),
        (lambda root: write_json(root / "dataset.json", {"training": [], "labels": {}}), "holds no scan"),
    ],
)
def test_a_folder_that_cannot_be_listed_gives_the_reason(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(DatasetError, match=message):
        scan_folder(tmp_path)


def test_patients_are_grouped_by_whole_parts_of_names() -> None:
    found = group_patients(["p1", "p1_followup", "p10", "p2_x", "p2_x_y"])
    assert found == {"p1": "p1", "p1_followup": "p1", "p10": "p10", "p2_x": "p2_x", "p2_x_y": "p2_x"}


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"case_id": "a"}', '{"names": {"x": "liver"}}'])
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [ScanRecord(case_id="a", patient_id="a", image=tmp_path / "a.nii.gz")])
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError, match=r"Line 2 of manifest 'm\.jsonl'"):
        read_manifest(tmp_path / "m.jsonl")


def test_a_missing_manifest_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="medvlsam2 manifest"):
        read_manifest(tmp_path / "none.jsonl")


class TestScansToTrainOn:
    def test_only_labelled_scans_of_the_split_are_used(self, tmp_path: Path) -> None:
        project(tmp_path)
        assert [r.case_id for r in labelled_scans(tmp_path)] == ["4DLung_113", "TS_abdo", "TS_abdo_sm"]
        with pytest.raises(DatasetError, match="none of them with labels"):
            labelled_scans(tmp_path, "val")

    def test_a_manifest_is_accepted_in_place_of_a_folder(self, tmp_path: Path) -> None:
        decathlon(tmp_path / "task")
        write_manifest(tmp_path / "m.jsonl", scan_folder(tmp_path / "task")[1])
        assert [r.case_id for r in labelled_scans(tmp_path / "m.jsonl")] == ["spleen_1", "spleen_2"]
        assert [r.case_id for r in labelled_scans(tmp_path / "m.jsonl", "val")] == ["spleen_3"]

    def test_without_splits_all_are_for_training(self, tmp_path: Path) -> None:
        m3d_refseg(tmp_path)
        assert [r.case_id for r in labelled_scans(tmp_path)] == ["s0000"]
        with pytest.raises(DatasetError, match="its splits are none"):
            labelled_scans(tmp_path, "val")

    def test_arrays_that_are_not_hounsfield_are_left_out(self, tmp_path: Path) -> None:
        m3d_seg(tmp_path)
        with pytest.raises(DatasetError, match="in HU"):
            labelled_scans(tmp_path)

    def test_rare_structures_get_more_new_scans(self) -> None:
        def record(case_id: str, *names: str) -> ScanRecord:
            numbered = dict(enumerate(names, start=1))
            return ScanRecord(case_id=case_id, patient_id=case_id, image=Path(case_id), names=numbered)

        heads = [record(f"head{n}", "mandible", "brainstem") for n in range(8)]
        records = [*heads, record("abdomen", "liver", "spleen", "aorta", "left kidney"), record("odd", "zzz")]
        numbers = allot(records, 60)
        assert sum(numbers) == 60
        assert numbers[8] == 40
        assert set(numbers[:8]) <= {2, 3}
        assert numbers[9] == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path / "data")
    assert main(["manifest", str(tmp_path / "data"), "-o", str(tmp_path / "m.jsonl"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["scans"], said["labelled"], said["patients"]) == (4, 3, 3)
    assert said["splits"] == {"train": 3, "val": 1}
    assert len(read_manifest(tmp_path / "m.jsonl")) == 4
    assert main(["manifest", str(tmp_path / "data"), "-o", str(tmp_path / "m.jsonl"), "--overwrite"]) == 0
    assert "4 scans of 3 patients, 3 with labels (train 3, val 1)" in capsys.readouterr().out
    assert main(["manifest", str(tmp_path), "-o", str(tmp_path / "other.jsonl")]) == 2
    assert "no layout that is known" in capsys.readouterr().err
