"""Which model answers: the one that is named, or the best one that can run here, with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medvlsam2.errors import CheckpointMismatch, MedVLSAM2Error, MissingCheckpoint
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.language.pretrained_base import base_tokenizer
from medvlsam2.model.registry import choose_model, resolve_model

if TYPE_CHECKING:
    from tests.unit.model.conftest import TinyBase


@pytest.fixture
def models(tiny_base: TinyBase, tiny_model_dir: Path, tmp_path: Path) -> str:
    """A folder with ``nano`` and ``small``, both tiny."""
    folder = tmp_path / "models"
    shutil.copytree(tiny_model_dir, folder / "medvlsam2-nano")
    tokenizer = base_tokenizer(tiny_base.name)
    model = builders.build(tiny_base.config, checkpoint.special_tokens(tokenizer))
    checkpoint.save(folder / "medvlsam2-small", model, tokenizer, {"structures": ["liver"]})
    return str(folder)


def break_base(base: TinyBase, how: str) -> None:
    content = base.file.read_bytes()
    if how == "missing":
        shutil.rmtree(base.file.parent)
    else:
        base.file.write_bytes(content[:-9] if how == "truncated" else content[:-9] + b"\0" * 9)


def test_the_better_model_is_taken_where_it_can_run(models: str) -> None:
    chosen = choose_model(models=models)
    assert (chosen.folder.name, chosen.passed_over) == ("medvlsam2-small", "")
    assert checkpoint.load(chosen.folder).config.language.base == "tiny"
    assert choose_model("nano", models).folder.name == "medvlsam2-nano"


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("missing", MissingCheckpoint, "is not installed (tiny_llm: no such package)"),
        ("truncated", CheckpointMismatch, "bytes instead of"),
        ("altered", CheckpointMismatch, "was altered: its SHA-256 begins with"),
    ],
)
def test_without_its_language_model_nano_answers_and_says_why(
    models: str, tiny_base: TinyBase, how: str, error: type[MedVLSAM2Error], words: str
) -> None:
    break_base(tiny_base, how)
    chosen = choose_model(models=models)
    assert chosen.folder.name == "medvlsam2-nano"
    assert chosen.passed_over.startswith("Model 'nano' is used instead of 'small'. ")
    assert words in chosen.passed_over
    assert "\n" not in chosen.passed_over
    with pytest.raises(error) as raised:
        choose_model("small", models)
    assert words in str(raised.value), "who names the model is told, and gets no other one"
    with pytest.raises(error):
        checkpoint.load(Path(models) / "medvlsam2-small")
    assert checkpoint.load(chosen.folder).config.model_id == "medvlsam2-tiny-random"


def test_whoever_asks_only_for_a_folder_finds_the_reason_in_the_log(
    models: str, tiny_base: TinyBase, caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve_model("auto", models).name == "medvlsam2-small"
    assert not caplog.text
    break_base(tiny_base, "missing")
    assert resolve_model("auto", models).name == "medvlsam2-nano"
    assert "Model 'nano' is used instead of 'small'" in caplog.text


def test_a_folder_that_is_not_whole_is_passed_over(models: str) -> None:
    (Path(models) / "medvlsam2-small" / "model.safetensors").unlink()
    chosen = choose_model(models=models)
    assert chosen.folder.name == "medvlsam2-nano"
    assert "has no model.safetensors" in chosen.passed_over


def test_where_the_better_model_was_never_made_nothing_is_said(models: str) -> None:
    shutil.rmtree(Path(models) / "medvlsam2-small")
    chosen = choose_model(models=models)
    assert (chosen.folder.name, chosen.passed_over) == ("medvlsam2-nano", "")
