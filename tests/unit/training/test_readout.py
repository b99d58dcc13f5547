"""The [SEG] projector is fitted on fixed states, to the teacher's tokens."""

from __future__ import annotations

import copy

import pytest
import torch

from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training import readout
from medvlsam2.training.data.cases import Case
from medvlsam2.training.readout import fit_seg_projector
from medvlsam2.training.teacher import Teacher
from medvlsam2.training.validate import ERROR, taught_names


def test_fitting_brings_the_tokens_to_the_teachers_and_changes_the_projector_alone(
    tiny_loaded: LoadedModel, tiny_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readout, "STEPS", 150)
    teacher = Teacher(LoadedModel(**{**vars(tiny_loaded), "metadata": {"trained_on": ["liver", "spleen", "aorta"]}}))
    student = copy.deepcopy(tiny_loaded.model)
    with torch.no_grad():
        for parameter in student.seg_projector.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    kept = {name: value.clone() for name, value in student.state_dict().items() if not name.startswith("seg_")}
    before = taught_names(student, tiny_loaded.tokenizer, [tiny_case], teacher)[ERROR]
    fit_seg_projector(student, tiny_loaded.tokenizer, [tiny_case], teacher, seed=0)
    after = taught_names(student, tiny_loaded.tokenizer, [tiny_case], teacher)[ERROR]
    assert before > 1
    assert after < 0.3 * before
    assert all(torch.equal(value, student.state_dict()[name]) for name, value in kept.items())
