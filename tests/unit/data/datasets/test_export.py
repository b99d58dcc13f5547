"""The export of submitted labels: joined by name, accepted by other tools, with a sentence for each label left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.cli import main
from medvlsam2.data.datasets.export import export_nnunet
from medvlsam2.data.final_labels import final_labels
from medvlsam2.data.label_info import names_of_values
from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.studies.local_scans import list_scans
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import DatasetError

AFFINE = np.array([[-0.7, 0.1, 0.0, 30.0], [0.1, -0.7, 0.0, 20.0], [0.0, 0.0, 2.5, -100.0], [0.0, 0.0, 0.0, 1.0]])
SHAPE = (7, 8, 9)


class Studies:
    """A MONAI Label studies folder that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, Any] = {}
        (folder / "labels" / "final").mkdir(parents=True)

    def add(
        self,
        image_id: str,
        names: dict[int, str] | None,
        *,
        info: list[dict[str, Any]] | None = None,
        affine: np.ndarray = AFFINE,
        suffix: str = ".nii.gz",
    ) -> np.ndarray:
        """One scan; value v fills plane i = v. ``info`` replaces what the client would have said."""
        hu = np.random.default_rng(len(self.objects)).integers(-900, 300, SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(hu, AFFINE), self.folder / f"{image_id}.nii.gz")
        entry: dict[str, Any] = {"image": {"ext": ".nii.gz", "info": {}}, "labels": {}}
        values = np.zeros(SHAPE, np.uint8)
        if names is not None:
            for value in names:
                values[value] = value
            path = self.folder / "labels" / "final" / f"{image_id}{suffix}"
            write_label_map(path, values, affine, names)
            said = info if info is not None else [{"name": name, "idx": value} for value, name in names.items()]
            entry["labels"]["final"] = {"ext": suffix, "info": {"label_info": said}}
        self.objects[image_id] = entry
        record = {"name": "test", "description": "", "images_dir": ".", "labels_dir": "labels", "objects": self.objects}
        (self.folder / "datastore_v2.json").write_text(json.dumps(record), encoding="utf-8")
        return values


@pytest.fixture
def studies(tmp_path: Path) -> Studies:
    return Studies(tmp_path / "studies")


def test_values_are_joined_by_name(studies, tmp_path):
    first = studies.add("alpha", {1: "Liver", 2: "lt. kidney"})
    second = studies.add("beta", {1: "kidney_left", 3: "spleen", 4: "liver"})
    studies.add("gamma", None)
    exported = export_nnunet(studies.folder, tmp_path / "raw")
    assert exported.folder == tmp_path / "raw" / "Dataset501_MedVLSAM2"
    assert exported.labels == {"background": 0, "spleen": 1, "kidney_left": 2, "liver": 3}
    assert exported.cases == {"alpha": "alpha", "beta": "beta"}
    for case, before, table in (("alpha", first, {1: 3, 2: 2}), ("beta", second, {1: 2, 3: 1, 4: 3})):
        label = nib.load(exported.folder / "labelsTr" / f"{case}.nii.gz")
        image = nib.load(exported.folder / "imagesTr" / f"{case}_0000.nii.gz")
        expected = np.vectorize(lambda value, table=table: table.get(value, 0))(before)
        np.testing.assert_array_equal(np.asarray(label.dataobj), expected)
        np.testing.assert_array_equal(
            np.asarray(image.dataobj), np.asarray(nib.load(studies.folder / f"{case}.nii.gz").dataobj)
        )
        np.testing.assert_allclose(label.affine, AFFINE, atol=1e-5)
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert any("'spleen' is not labelled in 1 of 2 scans (alpha)" in sentence for sentence in exported.sentences)


def test_monai_reads_the_dataset(studies, tmp_path):
    from monai.data import load_decathlon_datalist
    from monai.transforms import LoadImaged

    studies.add("alpha", {1: "liver"})
    studies.add("beta", {1: "spleen", 2: "liver"})
    folder = export_nnunet(studies.folder, tmp_path / "raw", dataset_id=7, name="Abdomen").folder
    assert folder.name == "Dataset007_Abdomen"
    listed = load_decathlon_datalist(folder / "dataset.json", is_segmentation=True, data_list_key="training")
    assert len(listed) == 2
    labels = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["labels"]
    loaded = LoadImaged(keys=("image", "label"))(listed[1])
    assert loaded["image"].shape == loaded["label"].shape == SHAPE
    np.testing.assert_allclose(np.asarray(loaded["label"].affine), AFFINE, atol=1e-5)
    assert loaded["label"][1].unique().tolist() == [labels["spleen"]]
    assert loaded["label"][2].unique().tolist() == [labels["liver"]]


def test_the_card_follows_nnunets_conventions(studies, tmp_path):
    studies.add("scan (1)/x".replace("/", "-"), {1: "liver"})
    folder = export_nnunet(studies.folder, tmp_path / "raw").folder
    card = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert card["channel_names"] == {"0": "CT"}
    assert card["file_ending"] == ".nii.gz"
    assert card["numTraining"] == len(list((folder / "labelsTr").iterdir())) == 1
    assert sorted(card["labels"].values()) == list(range(len(card["labels"])))
    (image,) = (folder / "imagesTr").iterdir()
    assert image.name == "scan_1_-x_0000.nii.gz"
    assert not list(folder.parent.glob(".*"))


def test_unknown_names_become_classes_with_a_sentence(studies, tmp_path):
    studies.add("alpha", {1: "Large Hepatic Thing", 2: "liver"})
    exported = export_nnunet(studies.folder, tmp_path / "raw")
    assert exported.labels == {"background": 0, "liver": 1, "large_hepatic_thing": 2}
    assert any("'large_hepatic_thing' is no structure" in sentence for sentence in exported.sentences)


def test_two_segments_of_one_structure_are_joined_with_a_sentence(studies, tmp_path):
    studies.add("alpha", {1: "left kidney", 2: "kidney_left"})
    exported = export_nnunet(studies.folder, tmp_path / "raw")
    label = np.asarray(nib.load(exported.folder / "labelsTr" / "alpha.nii.gz").dataobj)
    assert np.unique(label[1:3]).tolist() == [1]
    assert "were joined as 'kidney_left'" in exported.sentences[0]


def test_a_structure_inside_another_gets_a_sentence(studies, tmp_path):
    studies.add("alpha", {1: "kidneys"})
    studies.add("beta", {1: "left kidney"})
    sentences = export_nnunet(studies.folder, tmp_path / "raw").sentences
    assert any("'kidneys' holds kidney_left" in sentence for sentence in sentences)


def test_labels_that_cannot_be_exported_are_left_out_with_a_sentence(studies, tmp_path):
    studies.add("good", {1: "liver"})
    moved = AFFINE.copy()
    moved[0, 3] += 5
    studies.add("moved", {1: "liver"}, affine=moved)
    studies.add("unnamed", {1: "liver"}, info=[])
    studies.add("empty", {})
    studies.add("lost", {1: "liver"})
    (studies.folder / "lost.nii.gz").unlink()
    exported = export_nnunet(studies.folder, tmp_path / "raw")
    assert list(exported.cases) == ["good"]
    said = {name: [s for s in exported.sentences if f"'{name}" in s] for name in ("moved", "unnamed", "empty", "lost")}
    assert "5 mm" in said["moved"][0]
    assert "does not say for certain" in said["unnamed"][0]
    assert "is empty" in said["empty"][0]
    assert "is not there" in said["lost"][0]


def test_names_in_the_file_need_no_label_info(studies, tmp_path):
    studies.add("alpha", {2: "spleen"}, info=[], suffix=".seg.nrrd")
    exported = export_nnunet(studies.folder, tmp_path / "raw")
    assert exported.labels == {"background": 0, "spleen": 1}


def test_a_dataset_is_never_overwritten_nor_left_half_written(studies, tmp_path, monkeypatch):
    studies.add("alpha", {1: "liver"})
    export_nnunet(studies.folder, tmp_path / "raw")
    with pytest.raises(DatasetError, match="never overwritten"):
        export_nnunet(studies.folder, tmp_path / "raw")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("medvlsam2.data.datasets.export.write_volume", full)
    with pytest.raises(OSError, match="No space"):
        export_nnunet(studies.folder, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_a_folder_without_labels_is_refused(studies, tmp_path):
    with pytest.raises(DatasetError, match=r"holds no datastore_v2\.json"):
        final_labels(tmp_path)
    studies.add("alpha", None)
    with pytest.raises(DatasetError, match="lists 1 images and no final label"):
        final_labels(studies.folder)
    (studies.folder / "datastore_v2.json").write_text("{", encoding="utf-8")
    with pytest.raises(DatasetError, match="that can be read, and no labels"):
        final_labels(studies.folder)


@pytest.mark.parametrize("content", [None, "", "{", '{"objects": {"alpha": 3}}', '{"objects": {}}'])
def test_labels_are_found_with_their_names_without_their_index(studies, tmp_path, content):
    studies.add("alpha", None)
    studies.add("beta", None)
    folder = StudiesFolder(studies.folder, list_scans)
    values = np.zeros(SHAPE, np.uint8)
    values[1] = 1
    write_label_map(tmp_path / "label.nii.gz", values, AFFINE, {})
    said = {"label_info": [{"name": "spleen", "idx": 1}]}
    folder.put_label("alpha", "final", tmp_path / "label.nii.gz", ".nii.gz", said)
    index = studies.folder / "datastore_v2.json"
    index.unlink()
    if content is not None:
        index.write_text(content, encoding="utf-8")
    (found,) = final_labels(studies.folder)
    assert (found.image_id, found.read()[1].names) == ("alpha", {1: "spleen"})


def test_names_in_the_label_file_win_over_an_older_index(studies, tmp_path):
    """The server was killed after it had stored a label and before it wrote the index."""
    studies.add("alpha", None)
    folder = StudiesFolder(studies.folder, list_scans)
    index = studies.folder / "datastore_v2.json"
    for name, value in (("spleen", 1), ("liver", 2)):
        values = np.zeros(SHAPE, np.uint8)
        values[value] = 1
        write_label_map(tmp_path / "label.nii.gz", values, AFFINE, {})
        before = index.read_bytes()
        said = {"label_info": [{"name": name, "idx": 1}]}
        folder.put_label("alpha", "final", tmp_path / "label.nii.gz", ".nii.gz", said)
    index.write_bytes(before)
    (found,) = final_labels(studies.folder)
    assert found.read()[1].names == {1: "liver"}


@pytest.mark.parametrize(("dataset_id", "name"), [(0, "A"), (1000, "A"), (1, "A b"), (1, "../A"), (1, "")])
def test_names_that_nnunet_would_not_find_are_refused(studies, tmp_path, dataset_id, name):
    with pytest.raises(DatasetError, match="allowed are"):
        export_nnunet(studies.folder, tmp_path, dataset_id=dataset_id, name=name)


def test_the_command_exports_and_warns(studies, tmp_path, capsys):
    studies.add("alpha", {1: "liver", 2: "odd one"})
    code = main(["export", "--studies", str(studies.folder), "--format", "nnunet", "-o", str(tmp_path / "o"), "--json"])
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert code == 0
    assert Path(record["folder"], "dataset.json").is_file()
    assert record["labels"]["liver"] == 1
    assert "warning: 'odd_one' is no structure" in said.err
    assert main(["export", "--studies", str(tmp_path), "-o", str(tmp_path / "p")]) == 2
    assert "datastore_v2.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "info", "names"),
    [
        ([1, 3], [{"name": "a", "idx": 1}, {"name": "b", "idx": 3}], {1: "a", 3: "b"}),
        ([1, 2], [{"name": "a", "idx": 4}, {"name": "b", "idx": 7}], {1: "a", 2: "b"}),
        ([1, 2], [{"name": "a"}, {"name": "b"}], {1: "a", 2: "b"}),
        ([5], [{"name": "a", "labelID": 5}], {5: "a"}),
    ],
)
def test_values_are_named_by_index_or_by_place(values, info, names):
    assert names_of_values("x", values, info) == names


def test_values_with_two_readings_are_refused():
    info = [{"name": "a", "idx": 2}, {"name": "b", "idx": 3}, {"name": "c", "idx": 4}]
    with pytest.raises(DatasetError, match=r"the values \[2, 3\]"):
        names_of_values("x", [2, 3], info)
