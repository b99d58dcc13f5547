"""Input that the command line refuses, with a sentence that names the value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.model import version_folders


def saved(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, -2.0, 3.0, 1.0]) if affine is None else affine), path)
    return path


def bad_scan(kind: str, folder: Path) -> Path:
    """One file of each kind that cannot be answered about."""
    path = folder / f"{kind}.nii.gz"
    rng = np.random.default_rng(0)
    hu = rng.integers(-900, 300, (16, 16, 8)).astype(np.int16)
    if kind == "garbage":
        path.write_bytes(b"this is no image")
    elif kind == "truncated":
        whole = saved(folder / "whole.nii.gz", hu).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "four":
        saved(path, np.stack([hu, hu], axis=-1))
    elif kind == "two":
        saved(path, hu[:, :, 0])
    elif kind == "slice":
        saved(path, hu[:, :, :1])
    elif kind == "empty":
        saved(path, np.zeros((16, 16, 8), np.int16))
    elif kind == "nan":
        saved(path, np.where(hu > 295, np.nan, hu).astype(np.float32))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("absent", ["absent.nii.gz", "not there"]),
        ("garbage", ["garbage.nii.gz", "is not a NIfTI file though its name says so"]),
        ("truncated", ["truncated.nii.gz", "truncated"]),
        ("four", ["4-D", "(16, 16, 8, 2)"]),
        ("two", ["2-D", "(16, 16)"]),
        ("slice", ["(16, 16, 1)"]),
        ("empty", ["empty", "every voxel is 0 HU"]),
        ("nan", ["NaN", "of 2048"]),
    ],
)
@pytest.mark.parametrize("verb", [("segment", "--prompt", "liver"), ("report",), ("ask",)])
def test_a_scan_that_cannot_be_read_is_refused(run, tmp_path, kind, words, verb):
    path = bad_scan(kind, tmp_path)
    rest = ["Is the liver visible?"] if verb[0] == "ask" else verb[1:]
    code, out, err = run(verb[0], path, *rest, "--json")
    error = json.loads(out)["error"]
    assert code == 2
    assert error["type"] == "UnreadableVolume"
    assert [word for word in words if word not in error["message"]] == []
    assert err == f"error: {error['message']}\n"


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["--point", "40,3,3,+"], "InvalidPrompt", ["40", "(40, 34, 14)"]),
        (["--point", "-3,3,3,+"], "InvalidPrompt", ["-3"]),
        (["--point", "2,3,99,+"], "InvalidPrompt", ["99"]),
        (["--point", "5,5,5,-"], "InvalidPrompt", ["Add a click on the object"]),
        (["--point", "5,5,+"], "InvalidPrompt", ["5,5,+"]),
        (["--point", "a,b,c,+"], "InvalidPrompt", ["a,b,c,+"]),
        (["--point", "nan,1,1,+"], "InvalidPrompt", ["nan,1,1,+"]),
        (["--box", "20,10,5,9,2,6"], "InvalidPrompt", ["20", "10"]),
        (["--box", "10,10,5,9,2,6"], "InvalidPrompt", ["10"]),
        (["--box", "1,2,3"], "InvalidPrompt", ["1,2,3"]),
        (["--box", "1.5,2,3,4,5,6"], "InvalidPrompt", ["1.5"]),
        (["--prompt", ""], "InvalidPrompt", ["''", "empty"]),
        (["--prompt", "   "], "InvalidPrompt", ["empty"]),
        ([], "InvalidPrompt", ["no text, no point, no box, no stroke on the object and no mask"]),
        (["--prompt", "lifr"], "UnknownStructure", ["lifr", "liver"]),
        (["--prompt", "liver", "--prompt", "spleen", "--point", "5,5,5,+"], "InvalidPrompt", ["2 prompts"]),
        (["--prompt", "liver", "-o", "out.jpg"], "InvalidRequest", ["out.jpg", ".nii.gz"]),
        (["--prompt", "liver", "-o", "/no/such/folder/out.nii.gz"], "InvalidRequest", ["/no/such/folder"]),
        (["--prompt", "liver", "--png", "out.tiff"], "InvalidRequest", ["out.tiff"]),
        (["--prompt", "liver", "--device", "tpu"], "InvalidConfig", ["tpu", "cpu"]),
        (["--prompt", "liver", "--model", "tiny-randm"], "MissingCheckpoint", ["tiny-randm", "tiny-random"]),
    ],
)
def test_impossible_values_are_refused_with_the_value(run, scan, arguments, kind, words):
    code, out, err = run("segment", scan, *arguments, "--json")
    error = json.loads(out)["error"]
    assert (code, error["type"]) == (2, kind)
    assert [word for word in words if word not in error["message"]] == []
    assert err == f"error: {error['message']}\n"


def test_an_empty_question_is_refused(run, scan):
    code, _, err = run("ask", scan, "  ")
    assert code == 2
    assert "The question '  ' is empty" in err


def test_a_single_choice_of_ask_is_refused(run, scan):
    code, _, err = run("ask", scan, "Which?", "--choices", "liver")
    assert code == 2
    assert "1 choices" in err


def test_a_typing_error_is_answered_and_told(run, scan):
    code, out, err = run("segment", scan, "--prompt", "livr", "--json")
    told = json.loads(out)
    assert code == 0
    assert [(each["name"], each["understood_as"]) for each in told["objects"]] == [("livr", "the liver")]
    assert "'livr' was understood as the liver." in told["warnings"]
    assert "'livr' was understood as the liver." in err


def test_mr_is_answered_with_a_warning(run, tmp_path):
    values = np.random.default_rng(0).integers(0, 900, (24, 24, 8)).astype(np.int16)
    path = saved(tmp_path / "mr.nii.gz", values)
    code, out, err = run("segment", path, "--prompt", "liver", "--json")
    assert code == 0
    assert err.startswith("warning: The image does not look like CT")
    assert "does not look like CT" in json.loads(out)["warnings"][0]


def test_real_mr_is_answered_with_a_warning(run, shared_data):
    path = shared_data / "mr" / "MR_TPT_spine" / "image.nii.gz"
    code, _, err = run("segment", path, "--prompt", "liver")
    assert code == 0
    assert "does not look like CT" in err


def test_a_model_without_weights_is_refused(run, scan, tmp_path, tiny_model_dir):
    folder = tmp_path / "no-weights"
    shutil.copytree(tiny_model_dir, folder)
    (folder / version_folders.WEIGHTS).unlink()
    code, _, err = run("report", scan, "--model", folder)
    assert code == 2
    assert "has no model.safetensors" in err


def test_weights_of_another_model_are_refused(run, scan, tmp_path, tiny_model_dir):
    folder = tmp_path / "other-size"
    shutil.copytree(tiny_model_dir, folder)
    text = (folder / version_folders.CONFIG).read_text(encoding="utf-8")
    assert "hidden_size: 32\n" in text
    (folder / version_folders.CONFIG).write_text(text.replace("mlp_dim: 64", "mlp_dim: 96"), encoding="utf-8")
    code, _, err = run("segment", scan, "--prompt", "liver", "--model", folder)
    assert code == 2
    assert "do not fit the model" in err
    assert "misshapen" in err


def test_a_bug_keeps_its_traceback(run, scan, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("medvlsam2.tasks.segment.segment", broken)
    with pytest.raises(ZeroDivisionError):
        run("segment", scan, "--prompt", "liver")
