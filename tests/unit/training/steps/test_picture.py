"""Steps of what the model answers from the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.picture import PictureStep


@pytest.fixture
def steps(tiny_loaded: LoadedModel, tiny_case: Case) -> list[PictureStep]:
    config = TrainConfig(volumes_per_step=2)
    source = Source(tiny_loaded.tokenizer, [tiny_case], config, tiny_loaded.config.sam2, 1024)
    return [PictureStep.draw(source, np.random.default_rng(seed)) for seed in range(30)]


def test_short_questions_have_no_measurements_and_some_scans_get_a_report(steps: list[PictureStep]) -> None:
    samples = [sample for step in steps for sample in step.samples]
    reports = [sample for sample in samples if "report" in sample.conversations[0].question]
    assert 0.05 < len(reports) / len(samples) < 0.5
    assert all(len(sample.conversations) == 1 for sample in reports)
    asked = [sample for sample in samples if sample not in reports]
    assert all(sample.measured is None for sample in asked)
    questions = " ".join(each.question for sample in asked for each in sample.conversations)
    assert " mm" not in questions
    assert "phase" in questions


def test_the_loss_depends_on_the_image(steps: list[PictureStep], tiny_loaded: LoadedModel) -> None:
    step = steps[0]
    darker = PictureStep(step.whole - 1, step.samples)
    with torch.no_grad():
        losses = [
            float(each.run(tiny_loaded.model, tiny_loaded.tokenizer, np.random.default_rng(0)).loss)
            for each in (step, darker)
        ]
    assert all(np.isfinite(losses))
    assert losses[0] != losses[1]
