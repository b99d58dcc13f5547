"""Prompt tokens learnt from a teacher: requests, their targets, and a student with another language model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medvlsam2.config import LanguageConfig
from medvlsam2.data import vocabulary
from medvlsam2.errors import InvalidConfig
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.parts import set_trainable
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.distil import DistilStep, relative_error, requests
from medvlsam2.training.steps.mix import mix
from medvlsam2.training.teacher import Teacher
from medvlsam2.training.validate import ERROR, taught_names
from medvlsam2.transforms.text import prefix_ids, segmentation_turns

REQUESTS = 6


@pytest.fixture
def teacher(tiny_loaded: LoadedModel) -> Teacher:
    return Teacher(replace(tiny_loaded, metadata={**tiny_loaded.metadata, "trained_on": ["liver", "spleen", "aorta"]}))


@pytest.fixture
def source(tiny_loaded: LoadedModel, tiny_case: Case, teacher: Teacher) -> Source:
    config = TrainConfig(requests_per_distil=REQUESTS)
    return Source(tiny_loaded.tokenizer, [tiny_case], config, tiny_loaded.config.sam2, 1024, teacher)


@pytest.fixture
def student(tiny_loaded: LoadedModel) -> MedVLSAM2:
    """A model with a wider language model of another kind, whose weights are drawn from another seed."""
    language = LanguageConfig(
        architecture="llama",
        vocab_size=320,
        hidden_size=48,
        intermediate_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        lora_rank=4,
        lora_alpha=8,
        lora_dropout=0.0,
    )
    config = replace(builders.TINY_RANDOM, language=language)
    return builders.build(config, checkpoint.special_tokens(tiny_loaded.tokenizer), seed=7)


def test_targets_are_the_tokens_with_which_the_teacher_serves(
    tiny_loaded: LoadedModel, teacher: Teacher, tiny_case: Case
) -> None:
    names = ["liver", "left kidney"]
    model, tokenizer = tiny_loaded.model, tiny_loaded.tokenizer
    with torch.no_grad():
        image_tokens = model.encode_volume(tiny_case.whole_volume()[None])
        prefix = model.language.prefill(prefix_ids(tokenizer, model.config.projector.num_tokens), image_tokens)
        served = model.request_tokens(prefix, *segmentation_turns(tokenizer, names))
    questions = [f"Please segment the {name}." for name in names]
    assert torch.equal(teacher.tokens(tiny_case.whole_volume(), questions), served)
    assert not torch.allclose(served[0], served[1])


def test_requests_are_about_different_things_that_the_teacher_mostly_knows(teacher: Teacher, tiny_case: Case) -> None:
    rng = np.random.default_rng(3)
    drawn = [requests(tiny_case, teacher, rng, 12) for _ in range(60)]
    assert all(len(one) == 12 for one in drawn)
    texts = [text.lower() for one in drawn for text in one]
    known = sum(any(name in text for name in ("liver", "spleen", "aorta")) for text in texts)
    assert known / len(texts) > 2 * 3 / len(vocabulary.STRUCTURES)
    assert any("cyst" in text and "kidney" in text for text in texts), "phrases about a phantom's findings"


def test_steps_bring_a_student_to_the_teachers_tokens(source: Source, teacher: Teacher, student: MedVLSAM2) -> None:
    teacher.hand_over(student)
    set_trainable(student, 4)
    step = DistilStep.draw(source, np.random.default_rng(0))
    assert step.num_samples == len(step.questions) == len(step.targets) == REQUESTS
    optimizer = torch.optim.AdamW([each for each in student.parameters() if each.requires_grad], lr=0.01)
    errors = []
    for _ in range(40):
        result = step.run(student, source.tokenizer, np.random.default_rng(0))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        errors.append(float(result.parts["error"]))
    assert errors[0] > 0.5
    assert errors[-1] < 0.1 * errors[0]


def test_a_stage_trains_what_the_language_model_has_of_its_own(student: MedVLSAM2) -> None:
    set_trainable(student, 4)
    trained = {name.split(".")[0] for name, each in student.named_parameters() if each.requires_grad}
    assert trained == {"projector", "language", "seg_projector"}
    frozen = [name for name, each in student.language.named_parameters() if not each.requires_grad]
    assert frozen
    assert not any(".lora_" in name or "new_tokens" in name for name in frozen)


def test_a_student_takes_over_encoder_and_pixel_decoder(teacher: Teacher, student: MedVLSAM2) -> None:
    teacher.hand_over(student)
    for part in ("vit", "sam2"):
        own, given = getattr(student, part).state_dict(), getattr(teacher.loaded.model, part).state_dict()
        assert all(torch.equal(own[key], given[key]) for key in given)


def test_a_teacher_with_another_pixel_decoder_is_refused(teacher: Teacher, tiny_loaded: LoadedModel) -> None:
    wider = replace(builders.TINY_RANDOM, sam2=replace(builders.TINY_RANDOM.sam2, memory_dim=8))
    other = builders.build(wider, checkpoint.special_tokens(tiny_loaded.tokenizer))
    with pytest.raises(InvalidConfig, match="another vision encoder or pixel decoder"):
        teacher.hand_over(other)


def test_the_error_is_a_part_of_the_variance() -> None:
    targets = torch.tensor([[1.0, 4.0], [3.0, 8.0]])
    assert float(relative_error(targets, targets)) == 0
    assert float(relative_error(targets.mean(dim=0).expand(2, -1), targets)) == pytest.approx(1)


def test_the_teacher_itself_has_learnt_all_names(teacher: Teacher, tiny_case: Case, student: MedVLSAM2) -> None:
    tokenizer = teacher.loaded.tokenizer
    perfect = taught_names(teacher.loaded.model, tokenizer, [tiny_case], teacher)
    assert perfect["names"] == 1
    assert perfect[ERROR] < 1e-6
    assert taught_names(student, tokenizer, [tiny_case], teacher)[ERROR] > 0.5


def test_the_stage_has_no_shares_without_its_options(source: Source) -> None:
    config = TrainConfig(distil_share=0.5, picture_share=0.25)
    shares = mix(4, replace(source, config=config), has_similarity=True)
    assert shares == {"tasks": 0.25, "distil": 0.5, "picture": 0.25}
    with pytest.raises(InvalidConfig, match="both together at most 1"):
        TrainConfig(distil_share=0.75, picture_share=0.5)


def test_without_a_teacher_there_is_no_step(source: Source) -> None:
    with pytest.raises(InvalidConfig, match="--teacher"):
        DistilStep.draw(replace(source, teacher=None), np.random.default_rng(0))
