"""Output of the command line: printed texts and written files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft7Validator

from medvlsam2.cli import main, program
from medvlsam2.data import phantom
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.readers import read_volume
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.tasks.records.to_json import schema

SHAPE = (40, 34, 14)


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert "not a medical device" in " ".join(said.split())
    for name, summary in program.VERBS.items():
        assert name in said
        assert summary in " ".join(said.split())


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("segment", ["--prompt", "--point", "--box", "--output", "--png", "--json", "label n is the n-th prompt"]),
        ("report", ["--max-tokens", "--device"]),
        ("ask", ["--choices", "--kind", "{short,long,multiple_choice}"]),
        ("serve", ["--studies", "--host", "--port", "default: 8000"]),
        ("train", ["--data", "--workers", "--stages", "Stage 3: slices of each of them.", "runs/PRESET"]),
        ("evaluate", ["--data", "--split", "--tasks", "segment, interactive", "--limit", "default: val"]),
        ("phantom", ["--seed", "--region", "--output"]),
        ("export", ["--format", "nnunet", "--id"]),
        ("doctor", ["--model"]),
        ("versions", ["--use", "MODEL"]),
    ],
)
def test_every_verb_explains_its_options(capsys, verb, words):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert [word for word in words if word not in said] == []
    assert "default: null" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No verb given"),
        (["segmnt"], "'segmnt'. Did you mean segment?"),
        (["segment", "x.nii", "--foo"], "Unknown option --foo."),
        (["ask", "x.nii"], "question"),
        (["ask", "x.nii", "Why?", "--kind", "poem"], "poem"),
        (["export", "--studies", "x", "-o", "y", "--format", "csv"], "csv"),
    ],
)
def test_wrong_arguments_get_one_sentence(run, arguments, sentence):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1


def told(out: str) -> dict[str, Any]:
    """Return the output of ``--json`` after a check against the published schema."""
    record = json.loads(out)
    Draft7Validator(schema()).validate(record)
    return record


def test_segment_writes_a_label_map_on_the_scans_grid(run, scan, drawn, tmp_path):
    mask, png = tmp_path / "out.nii.gz", tmp_path / "out.png"
    code, out, err = run(
        "segment", scan, "--prompt", "liver", "--prompt", "Lt. Kidney", "-o", mask, "--png", png, "--device", "cpu"
    )
    assert code == 0
    assert err == (
        "warning: Nothing in this scan tells left from right for 'left kidney': check that it is on the left side.\n"
    ), "the answer's own warnings are told in text too"
    written = read_label_map(mask)
    assert written.values.shape == SHAPE
    np.testing.assert_allclose(written.affine, drawn.volume.affine, atol=1e-3)
    assert set(np.unique(written.values)) <= {0, 1, 2}
    assert "liver" in out
    assert "left kidney" in out
    assert "medvlsam2-tiny-random base" in out
    assert "Research only; not a medical device." in out
    assert png.read_bytes().startswith(b"\x89PNG")


def test_segment_json_says_what_was_found(run, scan, tmp_path):
    mask = tmp_path / "out.nrrd"
    code, out, _ = run("segment", scan, "--prompt", "liver", "--prompt", "spleen", "-o", mask, "--json")
    record = told(out)
    assert code == 0
    assert record["label_names"] == {"liver": 1, "spleen": 2}
    assert [(item["value"], item["name"]) for item in record["objects"]] == [(1, "liver"), (2, "spleen")]
    written = read_label_map(mask)
    assert written.names == {1: "liver", 2: "spleen"}
    voxel_ml = abs(np.linalg.det(written.affine[:3, :3])) / 1000
    for item in record["objects"]:
        count = int((written.values == item["value"]).sum())
        assert item["present"] == (count > 0)
        assert item["volume_ml"] == pytest.approx(count * voxel_ml, abs=0.01)
        assert 0 <= item["confidence"] <= 1
        assert item["recognised_as"] is None
    assert record["latencies"]["total"] > 0
    assert (record["model_id"], record["model_version"]) == ("medvlsam2-tiny-random", "base")
    assert record["mask"] == str(mask)
    assert "not a medical device" in record["notice"]


def test_clicks_and_box_belong_to_the_one_object(run, scan):
    code, out, _ = run("segment", scan, "--point", "20,17,7,+", "--point", "2,2,7,-", "--json")
    assert code == 0
    assert [item["name"] for item in told(out)["objects"]] == ["object"]
    code, out, _ = run("segment", scan, "--prompt", "liver", "--box", "10,30,8,25,4,10", "--json")
    assert code == 0
    assert [item["name"] for item in told(out)["objects"]] == ["liver"]


def test_report_prints_what_the_model_writes(run, scan, tmp_path, tiny_model_dir):
    written = []
    for seed in (1, 2):
        folder = talkative_model(tmp_path / f"talkative-{seed}", tiny_model_dir, seed)
        code, out, _ = run("report", scan, "--grounded", "off", "--max-tokens", "12", "--json", "--model", folder)
        record = told(out)
        assert code == 0
        assert record["model_id"] == f"talkative-{seed}"
        assert " ".join(finding["sentence"] for finding in record["findings"]).split() == record["report"].split()
        _, text, _ = run("report", scan, "--grounded", "off", "--max-tokens", "12", "--model", folder)
        assert text.startswith(record["report"] + "\n")
        assert "Research only" in text
        written.append(record["report"])
    assert all(written)
    assert written[0] != written[1]


def talkative_model(folder: Path, tiny_model_dir: Path, seed: int) -> Path:
    """Other random weights, so large that the model does not just repeat its last token."""
    from medvlsam2.model import builders

    loaded = checkpoint.load(tiny_model_dir)
    model = builders.build(loaded.config, checkpoint.special_tokens(loaded.tokenizer), seed=seed)
    with torch.no_grad():
        for name, parameter in model.language.named_parameters():
            if ".layers." in name and parameter.ndim == 2:
                parameter.mul_(30)
    checkpoint.save(folder, model, loaded.tokenizer, loaded.metadata)
    return folder


def test_ask_answers_and_chooses(run, scan):
    code, out, _ = run("ask", scan, "Is the liver visible?", "--json")
    assert code == 0
    assert told(out)["choice_index"] is None
    code, out, _ = run("ask", scan, "Which organ is larger?", "--choices", "liver", "spleen", "--json")
    record = told(out)
    assert code == 0
    assert record["answer"] == f"{'AB'[record['choice_index']]}. {record['choices'][record['choice_index']]}"


def test_phantom_writes_a_file_or_a_folder(run, tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(phantom, "generate", lambda seed, config: drawn)
    assert run("phantom", "--seed", "3", "-o", tmp_path / "one.nii.gz")[0] == 0
    again = read_volume(tmp_path / "one.nii.gz")
    np.testing.assert_array_equal(again.hu, drawn.volume.hu)
    np.testing.assert_allclose(again.affine, drawn.volume.affine, atol=1e-3)
    assert again.warnings == ()
    code, out, _ = run("phantom", "-o", tmp_path / "many", "--json")
    assert code == 0
    assert json.loads(out)["facts"]["volumes_ml"] == drawn.facts.volumes_ml
    assert {path.name for path in (tmp_path / "many").iterdir()} >= {"image.nii.gz", "label.nii.gz", "facts.json"}


def test_phantom_passes_seed_and_region_on(run, tmp_path, drawn, monkeypatch):
    asked = []
    monkeypatch.setattr(phantom, "generate", lambda seed, config: asked.append((seed, config.region)) or drawn)
    run("phantom", "--seed", "41", "-o", tmp_path / "one.nii.gz")
    run("phantom", "--seed", "6", "--region", "head and neck", "-o", tmp_path / "two.nii.gz")
    assert asked == [(41, None), (6, "head and neck")]


def test_doctor_runs_the_model(run):
    code, out, _ = run("doctor", "--json", "--model", "tiny-random", "--device", "cpu")
    record = json.loads(out)
    assert code == 0
    assert record["ok"] is True
    found = {check["name"]: check["detail"] for check in record["checks"]}
    assert "torch" in found["packages"]
    assert "medvlsam2-tiny-random base" in found["weights"]
    assert "mL found" in found["self-test"]


def test_doctor_says_what_is_wrong(run):
    code, out, _ = run("doctor", "--model", "nothing")
    assert code == 1
    assert "FAILED" in out
    assert "'nothing' is neither a model nor a model folder" in out


def test_versions_lists_and_goes_back(run, tmp_path, tiny_model_dir):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    loaded = checkpoint.load(folder)
    tensors = dict(list(loaded.model.named_parameters())[:1])
    provenance = {"created": "2026-01-09", "parent_version": "base"}
    checkpoint.publish(folder, "v0001", {k: t.detach() for k, t in tensors.items()}, provenance, use=True)
    code, out, _ = run("versions", folder, "--json")
    assert code == 0
    assert [(item["version"], item["current"]) for item in json.loads(out)["versions"]] == [
        ("base", False),
        ("v0001", True),
    ]
    code, out, _ = run("versions", folder, "--use", "base")
    assert code == 0
    assert "2026-01-09" in out
    assert version_folders.current_version(folder) == "base"
    code, _, err = run("versions", folder, "--use", "v9")
    assert code == 2
    assert "no version 'v9'" in err
