"""Submit a corrected label, train, get answers of the new version, and export the labels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAINING_S = 200
IMAGES = ("first", "second", "third")


@pytest.fixture(scope="module")
def annotated(
    tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any], tiny_model_dir: Path, phantom: Any
) -> Iterator[Any]:
    """A server on three phantoms, with a model folder of its own that may change."""
    folder = tmp_path_factory.mktemp("annotated")
    model = folder / "medvlsam2-tiny-random"
    shutil.copytree(tiny_model_dir, model)
    studies = folder / "studies"
    studies.mkdir()
    for number, name in enumerate(IMAGES):
        hu = np.clip(phantom.volume.hu + 5 * number, -1024, 3071).astype(np.int16)
        nib.save(nib.Nifti1Image(hu, phantom.volume.affine), studies / f"{name}.nii.gz")
    with start(folder / "server", str(studies), model) as live:
        yield live


def corrected_label(phantom: Any, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Two organs as an annotator would submit them: values of the file's own, named in label_info."""
    keys = {key: value for value, key in phantom.labels.items()}
    values = np.zeros(phantom.label_map.shape, np.uint8)
    chosen = [key for key in ("liver", "spleen", "kidney_left", "kidney_right") if key in keys][:2]
    for number, key in enumerate(chosen, start=1):
        values[phantom.label_map == keys[key]] = number
    path = folder / "corrected.nii.gz"
    nib.save(nib.Nifti1Image(values, phantom.volume.affine), path)
    return path, [{"name": key.replace("_", " "), "idx": number} for number, key in enumerate(chosen, start=1)]


def test_the_learning_loop(annotated: Any, phantom: Any, tmp_path: Path) -> None:
    client = annotated.client()
    first = client.next_sample("medvlsam2_value", {})
    assert first["id"] in IMAGES
    assert Path(first["path"]).name == f"{first['id']}.nii.gz"
    before = annotated.json("medvlsam2_semantic", first["id"], {"label": "liver"})["model_version"]

    label, info = corrected_label(phantom, tmp_path)
    for name in ("first", "second"):
        client.save_label(name, str(label), params={"label_info": info})
    assert client.info()["datastore"]["completed"] == 2
    assert client.next_sample("random", {})["id"] == "third"

    stop_a_training(annotated, client)
    assert annotated.json("medvlsam2_semantic", "third", {"label": "liver"})["model_version"] == before

    client.train_start("medvlsam2_finetune", {"max_epochs": 1})
    task = wait_for_training(client)
    assert task["status"] == "DONE", "\n".join(task["details"])
    stats = client.info()["train_stats"]["medvlsam2_finetune"]
    assert stats["scans"] == 2
    assert stats["epoch"] == stats["total_epochs"]
    assert 0.0 <= stats["best_metric"] <= 1.0

    after = annotated.json("medvlsam2_semantic", "third", {"label": "liver"})["model_version"]
    assert stats["published"]
    assert after == stats["version"] != before


def stop_a_training(annotated: Any, client: Any) -> None:
    """A long one: requests are answered meanwhile, and it ends a step after it is told to, with its checkpoint."""
    client.train_start("medvlsam2_finetune", {"max_epochs": 1000})
    stats = wait_for(lambda: client.info()["train_stats"]["medvlsam2_finetune"], lambda told: told["epoch"] >= 1)
    assert stats["total_epochs"] == 1000
    assert client.train_status()["status"] == "RUNNING"
    assert annotated.json("medvlsam2_semantic", "third", {"label": "spleen"})["objects"]
    assert client.train_status()["status"] == "RUNNING"
    assert client.train_stop()["status"] == "STOPPED"
    wait_for(lambda: client.info()["train_stats"]["medvlsam2_finetune"], lambda told: told.get("interrupted"))
    (log,) = [line for line in client.train_status()["details"] if "stopped at step" in line]
    assert "goes on from there" in log
    work = Path(annotated.studies) / ".fine-tuning"
    assert len(list(work.glob("run-*/checkpoint.pt"))) == 1


def wait_for(ask: Callable[[], Any], holds: Callable[[Any], Any]) -> Any:
    deadline_s = time.monotonic() + TRAINING_S
    while not holds(told := ask()):
        assert time.monotonic() < deadline_s, told
        time.sleep(0.3)
    return told


def test_export_is_accepted_by_monai(annotated: Any, phantom: Any, tmp_path: Path) -> None:
    """After the loop above two scans are labelled."""
    from monai.data import load_decathlon_datalist

    command = [sys.executable, "-m", "medvlsam2.cli", "export", "--studies", annotated.studies]
    out = tmp_path / "dataset"
    command += ["--format", "nnunet", "-o", str(out)]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "lib"), os.environ.get("PYTHONPATH"))))}
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (card,) = out.rglob("dataset.json")
    items = load_decathlon_datalist(str(card), is_segmentation=True, data_list_key="training")
    assert len(items) == 2
    names = json.loads(card.read_text(encoding="utf-8"))["labels"]
    keys = {key: value for value, key in phantom.labels.items()}
    for item in items:
        exported = np.asarray(nib.load(item["label"]).dataobj)
        for name, value in names.items():
            if name != "background":
                key = name.replace(" ", "_")
                assert np.array_equal(exported == value, phantom.label_map == keys[key])


def wait_for_training(client: Any) -> dict[str, Any]:
    deadline_s = time.monotonic() + TRAINING_S
    while time.monotonic() < deadline_s:
        task = client.train_status()
        if task["status"] not in {"SUBMITTED", "RUNNING"}:
            return dict(task)
        time.sleep(0.5)
    client.train_stop()
    pytest.fail(f"Training took longer than {TRAINING_S} s:\n" + "\n".join(task.get("details", [])))
