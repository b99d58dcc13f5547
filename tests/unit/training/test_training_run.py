"""From a preset and scans to a model folder that says where it comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import DatasetError, InvalidConfig
from medvlsam2.model import checkpoint
from medvlsam2.training import loop, readout, train
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data import case_files, cases
from medvlsam2.training.data.cases import Case
from medvlsam2.training.running.provenance import data_hash

CONFIG = TrainConfig(
    preset="tiny_random",
    stages=(0, 3),
    minutes=(0.02, 0.05),
    texts_per_step=2,
    cases_per_step=1,
    slices_per_case=2,
    objects_per_case=2,
    slices_per_dense=2,
    clip_slices=2,
    phantoms=2,
    validation_cases=1,
    validation_minutes=0.0,
)


@pytest.fixture
def short_training(small_phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trains for seconds on the small phantom."""
    monkeypatch.setattr(case_files.phantom, "generate", lambda _: small_phantom)
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(train, "TOKENIZER_TEXTS", 300)
    return partial(
        train.train,
        output=tmp_path / "model",
        run=tmp_path / "run",
        cache=tmp_path / "cache",
        data=None,
        workers=1,
        report=lambda _: None,
    )


def test_a_model_folder_says_where_it_comes_from(short_training, tmp_path: Path) -> None:
    short_training(CONFIG)
    loaded = checkpoint.load(tmp_path / "model")
    told = loaded.metadata["training"]
    made = [cases.load_case(path) for path in sorted((tmp_path / "cache").glob("phantom_00100*"))]
    assert len(made) == told["phantoms"] == 2
    assert told["data_sha256"] == data_hash(made)
    assert told["config"] == json.loads(json.dumps(asdict(CONFIG)))
    assert told["seeds"] == {"weights_and_sampling": 0, "first_phantom": 1000}
    assert told["device"]
    assert told["code"]
    steps = [
        json.loads(line) for line in (tmp_path / "run" / "validations.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert told["validation_score"] == max(step["score"] for step in steps)
    provenance = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert provenance == {key: told[key] for key in provenance}
    assert (tmp_path / "run" / "losses.png").stat().st_size > 1000
    held_out = list((tmp_path / "cache").glob(f"phantom_{train.VALIDATION_PHANTOM_SEED}*"))
    assert len(held_out) == 1
    assert "liver" in loaded.metadata["structures"]


def test_a_caller_may_pass_its_own_validation(short_training, tmp_path: Path) -> None:
    short_training(replace(CONFIG, stages=(3,), minutes=(0.02,)), validate=lambda _: 0.25)
    told = checkpoint.load(tmp_path / "model").metadata["training"]
    assert told["validation_score"] == 0.25
    assert not list((tmp_path / "cache").glob(f"phantom_{train.VALIDATION_PHANTOM_SEED}*"))


def test_a_model_learns_words_and_masks_from_a_teacher(
    short_training, tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readout, "STEPS", 10)
    metadata = json.loads((model_dir / "metadata.json").read_text(encoding="utf-8"))
    of_masks = {"trained_on": ["liver"], "findings": ["kidney_cyst"], "finding_thresholds": {"kidney_cyst": 4.5}}
    (model_dir / "metadata.json").write_text(json.dumps({**metadata, **of_masks}), encoding="utf-8")
    config = replace(CONFIG, stages=(4,), minutes=(1.0,), steps=(8,), tokens_per_step=200, requests_per_distil=4)
    short_training(replace(config, volumes_per_step=1), teacher=model_dir)
    learnt, teacher = checkpoint.load(tmp_path / "model"), checkpoint.load(model_dir)
    assert learnt.metadata["queries"] is True
    assert learnt.metadata["training"]["teacher"] == model_dir.name
    assert {key: learnt.metadata[key] for key in of_masks} == of_masks
    assert learnt.metadata["structures"] == metadata["structures"]
    assert 0 <= learnt.metadata["training"]["validation_score"] <= 1
    for part in ("vit", "sam2"):
        own, given = getattr(learnt.model, part).state_dict(), getattr(teacher.model, part).state_dict()
        assert all(torch.equal(own[key], given[key]) for key in given), part
    told = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any("tasks/exact" in line["losses"] for line in told)


@pytest.mark.parametrize("stages", [(3,), (4,)])
def test_a_teacher_belongs_to_the_stage_that_learns_from_it(
    short_training, model_dir: Path, stages: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidConfig, match="--teacher"):
        short_training(replace(CONFIG, stages=stages, minutes=(0.02,)), teacher=model_dir if stages == (3,) else None)


def test_data_of_no_known_layout_is_refused(short_training, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetError, match=r"data"):
        short_training(CONFIG, data=tmp_path / "data")


def test_scans_without_a_validation_split_are_trained_on(
    short_training, tmp_path: Path, small_phantom: Phantom, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "raw"
    write_nnunet(data, small_phantom)
    short_training(replace(CONFIG, stages=(3,), minutes=(0.02,), synthetic=1), data=data)
    told = checkpoint.load(tmp_path / "model").metadata["training"]
    assert told["scans"] == 2, "the scan and one made of it"
    assert "validation on phantoms alone" in caplog.text


def write_nnunet(data: Path, phantom: Phantom) -> None:
    """One labelled scan in nnU-Net's raw layout."""
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
    affine = phantom.volume.affine
    nib.save(nib.Nifti1Image(phantom.volume.hu, affine), data / "imagesTr" / "one_0000.nii.gz")
    nib.save(nib.Nifti1Image(phantom.label_map, affine), data / "labelsTr" / "one.nii.gz")
    labels = {"background": 0, **{key: value for value, key in phantom.labels.items()}}
    card = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (data / "dataset.json").write_text(json.dumps(card), encoding="utf-8")


def test_the_hash_is_that_of_ids_and_labels(tiny_case: Case, tmp_path: Path) -> None:
    other = replace(tiny_case, case_id="other")
    assert data_hash([tiny_case, other]) == data_hash([other, tiny_case])
    relabelled = replace(tiny_case, folder=tmp_path)
    for name in ("labels", "lesions"):
        np.save(tmp_path / f"{name}.npy", getattr(tiny_case, name))
    assert data_hash([relabelled]) == data_hash([tiny_case])
    labels = np.array(tiny_case.labels)
    labels[0, 0, 0] += 1
    np.save(tmp_path / "labels.npy", labels)
    hashes = {data_hash([case]) for case in (tiny_case, other, replace(tiny_case, folder=tmp_path))}
    assert len({*hashes, data_hash([])}) == 4
