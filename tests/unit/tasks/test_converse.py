"""Reports and answers are written by the model from the scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model import checkpoint
from medvlsam2.tasks.converse import answer, report
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.questions.replying.unanswered import GUESSED
from medvlsam2.tasks.reporting import door


@pytest.fixture
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


def test_other_weights_write_another_report(tiny_model_dir: Path, tmp_path: Path, small_phantom: Phantom) -> None:
    texts = []
    for seed in (1, 2):
        loaded = checkpoint.load(tiny_model_dir)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in loaded.model.language.decoder.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        checkpoint.save(tmp_path / str(seed), loaded.model, loaded.tokenizer, loaded.metadata)
        engines = [Engine(tmp_path / str(seed)) for _ in range(2)]
        written = [report(one, small_phantom.volume, grounded=False, max_new_tokens=24) for one in engines]
        assert written[0].text
        assert written[0].text == written[1].text
        texts.append(written[0].text)
    assert texts[0] != texts[1]


def test_the_image_changes_the_report(engine: Engine, small_phantom: Phantom) -> None:
    air = CTVolume(np.full((20, 20, 10), -1000, dtype=np.int16), np.eye(4), "air")
    caches = [engine.session(volume).prefix for volume in (small_phantom.volume, air)]
    assert not torch.allclose(caches[0].keys[1], caches[1].keys[1], atol=1e-3)


def test_findings_name_their_structures(
    engine: Engine, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "Findings: There is a 12 mm cyst in the left kidney. The liver and spleen are normal."
    monkeypatch.setattr(door, "generate", lambda *_: words)
    found = report(engine, small_phantom.volume, grounded=False)
    assert [item.structures for item in found.sentences][:2] == [("kidney_left",), ("liver", "spleen")]
    assert found.sentences[0].sentence == "There is a 12 mm cyst in the left kidney."
    assert not found.grounded
    assert door.UNPROVED in found.warnings


def test_a_report_is_no_longer_than_asked(engine: Engine, small_phantom: Phantom) -> None:
    found = report(engine, small_phantom.volume, grounded=False, max_new_tokens=3)
    assert len(engine.loaded().tokenizer(found.text)["input_ids"]) <= 4


def test_multiple_choice_is_one_of_the_choices(engine: Engine, small_phantom: Phantom) -> None:
    choices = ["liver", "spleen", "left kidney"]
    found = answer(engine, small_phantom.volume, "Which organ is the largest?", choices)
    assert found.choice_index in range(3)
    assert found.text == f"{'ABC'[found.choice_index]}. {choices[found.choice_index]}"
    assert found.latencies_s["total"] > 0


def test_the_likeliest_choice_is_taken(engine: Engine, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    language = type(engine.loaded().model.language)
    compared: list[str] = []

    def scores(_: object, prefix: object, turn: object, answers: list[list[int]]) -> torch.Tensor:
        compared.extend(engine.loaded().tokenizer.decode(ids) for ids in answers)
        return torch.tensor([-3.0, -1.0, -2.0])

    monkeypatch.setattr(language, "score_choices", scores)
    assert answer(engine, small_phantom.volume, "Which?", ["left", "right", "both"]).choice_index == 1
    assert compared == ["A. left", "B. right", "C. both"], "whole answers, as they were taught"


def test_a_free_answer_has_no_choice(engine: Engine, small_phantom: Phantom) -> None:
    found = answer(engine, small_phantom.volume, "Is the liver visible?", kind="long")
    assert found.choice_index is None
    assert (found.grounded, found.query, found.value, found.evidence) == (False, "", None, ())
    assert GUESSED in found.warnings
    assert found.unproved == (GUESSED,)
    assert answer(engine, small_phantom.volume, "Is the liver visible?", kind="long").text == found.text


def test_warnings_of_the_scan_come_along(engine: Engine) -> None:
    scan = CTVolume(np.zeros((8, 8, 8), dtype=np.int16), np.eye(4), "odd", ("It does not look like CT.",))
    assert report(engine, scan).warnings == ("It does not look like CT.",)
    assert answer(engine, scan, "Is it?").warnings == ("It does not look like CT.", GUESSED)


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [
        ("  ", (), "is empty"),
        ("Which?", ("one",), "1 choices were given"),
        ("Which?", ("x",) * 27, "27 choices were given"),
        ("Which?", ("a", " "), "is empty"),
        ("What is [SEG]?", (), "reserved"),
    ],
)
def test_bad_questions_are_refused(
    engine: Engine, small_phantom: Phantom, question: str, choices: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidPrompt, match=message):
        answer(engine, small_phantom.volume, question, choices)
