"""Configuration files: what is wrong in them is told with its key, and what earlier versions wrote is still read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from medvlsam2.config import ModelConfig, to_dict
from medvlsam2.errors import CheckpointMismatch, InvalidConfig, InvalidRequest
from medvlsam2.evaluation.config import EvaluationConfig, parse_tasks
from medvlsam2.model import checkpoint
from medvlsam2.strict_reading import OnceLoader, read_strictly
from medvlsam2.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
NANO = "model/medvlsam2-nano/config.yaml"
FIRST = "ce4adf5"
"""The commit with the first config.yaml that was shipped: it lacks the fields that came later."""


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("{sam2: {trunk: heira}}", ["'sam2.trunk' is 'heira'; allowed: hiera or conv. Did you mean hiera?"]),
        ("{sam2: {image_size: '256'}}", ["'sam2.image_size' is '256'; allowed: a whole number."]),
        ("{sam2: {image_sise: 256}}", ["There is no key 'sam2.image_sise'. Did you mean image_size?"]),
        ("{projector: {kind: mixr}}", ["'projector.kind' is 'mixr'; allowed: mixer or linear. Did you mean mixer?"]),
        ("{language: {architecture: qwen3}}", ["allowed: qwen2 or llama. Did you mean qwen2?"]),
        ("{language: {num_heads: 0}}", ["'language.num_heads' is 0; allowed: 1 or more."]),
        ("{language: {tie_word_embeddings: 1}}", ["'language.tie_word_embeddings' is 1; allowed: true or false."]),
        ("{language: {lora_dropout: .nan}}", ["'language.lora_dropout' is NaN; allowed:"]),
        ("{sam2: {neighbour_mm: .inf}}", ["'sam2.neighbour_mm' is Infinity; allowed: a finite number."]),
        ("{sam2: {conv_depths: [1, 2.5]}}", ["'sam2.conv_depths[1]' is 2.5; allowed: a whole number."]),
        ("{vit: {image_size_dhw: [32, 128]}}", ["'vit.image_size_dhw' is [32, 128]; allowed: a list of 3 values."]),
        ("{vit: {patch_size_dhw: [4, 16, 16, 1]}}", ["allowed: a list of 3 values."]),
        ("{vit: {image_size_dhw: [32, 100, 128]}}", ["(32, 100, 128) is not a multiple of patch_size_dhw"]),
        ("{vit: 3, projectr: {}}", ["'vit' is 3; allowed: keys with values.", "There is no key 'projectr'."]),
        ("{2020-01-01: 3}", ["There is no key '2020-01-01'."]),
    ],
)
def test_what_is_wrong_is_told_with_its_key(text: str, sentences: list[str]) -> None:
    record = {"model_id": "nano", **yaml.load(text, OnceLoader)}
    with pytest.raises(InvalidConfig) as refused:
        read_strictly(ModelConfig, record, "'config.yaml'")
    said = str(refused.value)
    assert said.startswith("The configuration in 'config.yaml' is wrong. ")
    assert [sentence for sentence in sentences if sentence not in said] == []


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InvalidConfig, match="The key 'model_id' is missing"):
        read_strictly(ModelConfig, {"vit": {}}, "'config.yaml'")


def test_of_many_mistakes_some_are_shown_and_all_counted() -> None:
    with pytest.raises(InvalidConfig, match=r"'d'.*There are 3 more mistakes\."):
        read_strictly(ModelConfig, {"model_id": "x", **dict.fromkeys("abcdefgh", 1)}, "'config.yaml'")


def test_training_and_evaluation_are_read_by_the_same_rules() -> None:
    with pytest.raises(InvalidConfig, match=r"There is no key 'phantms'\. Did you mean phantoms\?"):
        read_strictly(TrainConfig, {"phantms": 3}, "'train.yaml'")
    with pytest.raises(InvalidConfig, match=r"'train.yaml' is wrong\. stages \(9,\) given"):
        read_strictly(TrainConfig, {"stages": [9]}, "'train.yaml'")
    with pytest.raises(InvalidConfig, match=r"'tasks\[0\]' is 'sgment'; .* Did you mean segment\?"):
        read_strictly(EvaluationConfig, {"tasks": ["sgment"]}, "'evaluate.yaml'")
    with pytest.raises(InvalidRequest, match=r"'sgment'.* Did you mean segment\?"):
        parse_tasks("sgment")


def test_a_key_that_stands_twice_is_refused(model_dir: Path) -> None:
    path = model_dir / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "model_id: another\n", encoding="utf-8")
    with pytest.raises(CheckpointMismatch, match="the key 'model_id' stands twice"):
        checkpoint.load(model_dir)


def test_a_model_folder_with_a_misspelt_trunk_is_refused_with_its_file(model_dir: Path) -> None:
    path = model_dir / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("trunk: conv", "trunk: konv"), encoding="utf-8")
    with pytest.raises(InvalidConfig, match=r"config\.yaml' is wrong\. 'sam2\.trunk' is 'konv'.*Did you mean conv\?"):
        checkpoint.load(model_dir)


def test_the_shipped_model_is_read_as_it_was_written() -> None:
    text = (ROOT / NANO).read_text(encoding="utf-8")
    config = read_strictly(ModelConfig, yaml.load(text, OnceLoader), NANO)
    assert yaml.safe_dump(to_dict(config), sort_keys=False) == text


def test_the_first_file_that_was_shipped_is_still_read() -> None:
    shown = subprocess.run(
        ["git", "show", f"{FIRST}:{NANO}"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    if shown.returncode:
        pytest.skip("This checkout has no history, so the first file is not known.")
    record = yaml.load(shown.stdout, OnceLoader)
    config = to_dict(read_strictly(ModelConfig, record, FIRST))
    assert {key: config["sam2"][key] for key in record["sam2"]} == record["sam2"]
    assert config["sam2"].keys() > record["sam2"].keys()
