"""The drawing of training steps: their data, shares and processes, and the tensors that go to the device."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.interrupt import SIGNALS
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.mix import (
    STEPS,
    mix,
)
from medvlsam2.training.steps.pixels.dense import DenseStep
from medvlsam2.training.steps.pixels.masks import MaskStep
from medvlsam2.training.steps.stream import (
    Drawn,
    StepStream,
    default_num_workers,
    step_rng,
)
from medvlsam2.training.steps.tasks import TaskStep
from medvlsam2.training.steps.text import ReadingStep, TextStep
from medvlsam2.training.teacher import Teacher


@pytest.fixture
def source(tiny_loaded: LoadedModel, tiny_case: Case) -> Source:
    config = TrainConfig(texts_per_step=2, volumes_per_step=1, cases_per_step=2, slices_per_case=2, clip_slices=3)
    teacher = Teacher(tiny_loaded)
    return Source(tiny_loaded.tokenizer, [tiny_case], config, tiny_loaded.config.sam2, 1024, teacher)


def fingerprint(drawn: Drawn) -> tuple[str, int]:
    """Kind and contents."""
    return drawn.kind, hash(str(tensors_of(drawn.step)))


def tensors_of(value: object) -> list[object]:
    if isinstance(value, torch.Tensor):
        return [tuple(value.shape), float(value.double().sum()), float(value.double().std())]
    if isinstance(value, tuple):
        return [part for item in value for part in tensors_of(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [part for field in fields(value) for part in tensors_of(getattr(value, field.name))]
    return [value]


SHARES = {"masks": 0.5, "dense": 0.3, "alignment": 0.2}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_draw_the_same_steps_in_the_same_order(source: Source, num_workers: int) -> None:
    here = [fingerprint(drawn) for drawn in islice(StepStream(source, SHARES, 3, 5), 7)]
    there = StepStream(source, SHARES, 3, 5).loader(num_workers=num_workers, pinned=False)
    assert [fingerprint(drawn) for drawn in islice(there, 7)] == here
    assert len(set(here)) == 7, "no step twice"


@pytest.mark.parametrize("number", SIGNALS)
def test_workers_leave_stopping_to_the_run(source: Source, number: int) -> None:
    """Torchrun and Ctrl-C signal the whole group, and the run has a checkpoint to write."""
    steps = iter(StepStream(source, SHARES, 3, 0).loader(num_workers=1, pinned=False))
    first = [fingerprint(next(steps)) for _ in range(2)]
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, number)
    assert worker.is_alive()
    later = [fingerprint(next(steps)) for _ in range(6)]
    assert first + later == [fingerprint(drawn) for drawn in islice(StepStream(source, SHARES, 3, 0), 8)]
    del steps
    worker.join(timeout=10)
    assert not worker.is_alive(), "they end with the run"


def test_processes_that_train_together_draw_other_samples_of_the_same_kinds(source: Source) -> None:
    drawn = [[StepStream(source, SHARES, 3, 0, rank=rank).draw(number) for number in range(8)] for rank in range(3)]
    kinds = [[one.kind for one in steps] for steps in drawn]
    assert kinds[0] == kinds[1] == kinds[2]
    assert len(set(kinds[0])) > 1
    assert len({fingerprint(one) for steps in drawn for one in steps}) == 24


def test_a_step_depends_on_seed_stage_and_number_alone(source: Source) -> None:
    steps = StepStream(source, SHARES, 3, 0)
    first = fingerprint(steps.draw(8))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert fingerprint(StepStream(source, SHARES, 3, 8).draw(8)) == first
    assert torch.equal(torch.get_rng_state(), state), "drawing leaves the caller's generator alone"
    other = replace(source, config=replace(source.config, seed=1))
    others = (steps.draw(9), StepStream(source, SHARES, 2, 0).draw(8), StepStream(other, SHARES, 3, 0).draw(8))
    assert len({first, *(fingerprint(drawn) for drawn in others)}) == 4


def test_prompts_are_not_drawn_from_the_samples_numbers() -> None:
    draws = [step_rng(0, 3, 8, purpose=purpose).random(4).tolist() for purpose in (0, 1)]
    assert draws[0] != draws[1]
    assert draws[0] == step_rng(0, 3, 8).random(4).tolist()


def test_kinds_come_in_their_shares(source: Source) -> None:
    steps = StepStream(source, {"text": 0.75, "alignment": 0.25, "clip": 0.0}, 0, 0)
    counts = Counter(steps.draw(number).kind for number in range(120))
    assert set(counts) == {"text", "alignment"}
    assert counts["text"] == pytest.approx(90, abs=15)


def test_every_stage_has_its_mix(source: Source) -> None:
    config = source.config
    for stage in range(5):
        shares = mix(stage, source, has_similarity=True)
        assert set(shares) <= set(STEPS)
        assert sum(shares.values()) == pytest.approx(1)
    first = mix(0, source, has_similarity=True)
    assert (first["reading"], first["copy"]) == (config.reading_share, config.copy_share)
    assert set(first) == {"text", "copy", "reading"}
    assert set(mix(1, source, has_similarity=True)) == {"conversation"}
    joint = mix(3, source, has_similarity=True)
    with_masks = joint["dense"] + joint["masks"] + joint["clip"]
    assert joint["alignment"] == config.alignment_shares[1]
    assert joint["conversation"] / (1 - joint["alignment"]) == pytest.approx(config.conversation_share)
    assert joint["dense"] / with_masks == pytest.approx(config.dense_share)
    assert joint["clip"] / (joint["clip"] + joint["masks"]) == pytest.approx(config.memory_share)
    assert mix(3, source, has_similarity=False)["dense"] == 0


def test_scans_without_facts_have_no_questions(source: Source, tiny_case: Case) -> None:
    silent = replace(source, cases=[replace(tiny_case, facts=None)])
    assert mix(3, silent, has_similarity=True)["conversation"] == 0
    assert sum(mix(3, silent, has_similarity=True).values()) == pytest.approx(1)


def test_real_scans_have_their_share(source: Source, tiny_case: Case) -> None:
    scan = replace(tiny_case, is_phantom=False)
    both = replace(source, cases=[tiny_case, scan])
    rng = np.random.default_rng(0)
    real = [not both.draw_case(rng, real_share=0.3).is_phantom for _ in range(300)]
    assert np.mean(real) == pytest.approx(0.3, abs=0.08)
    assert not replace(source, cases=[scan]).draw_case(rng, real_share=0.0).is_phantom


def test_images_go_to_the_device_and_labels_stay(source: Source) -> None:
    rng = np.random.default_rng(0)
    there = torch.device("meta")
    for kind, label in ((MaskStep, "masks"), (DenseStep, "label_map")):
        moved = kind.draw(source, rng).to(there)
        assert isinstance(moved, kind)
        for sample in moved.samples:
            assert (sample.slices.device, sample.whole.device) == (there, there)
            assert getattr(sample, label).device.type == "cpu"
            assert sample.phrases
    texts = TextStep.draw(source, rng)
    assert all(torch.equal(a, b) for a, b in zip(texts.to(there).rows, texts.rows, strict=True))


def test_samples_are_plain_tensors(source: Source) -> None:
    """MONAI's tensors with metadata would slow down every operation of the model."""
    rng = np.random.default_rng(0)
    for kind in STEPS.values():
        drawn = kind.draw(source, rng)
        if isinstance(drawn, ReadingStep | TaskStep):
            continue  # words alone
        found = [part for part in parts_of(drawn) if isinstance(part, torch.Tensor)]
        assert found
        assert {type(part) for part in found} == {torch.Tensor}


def parts_of(value: object) -> list[object]:
    if isinstance(value, tuple):
        return [part for item in value for part in parts_of(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [part for field in fields(value) for part in parts_of(getattr(value, field.name))]
    return [value]


def test_a_text_longer_than_the_model_reads_is_cut(source: Source) -> None:
    short = replace(source, max_tokens=20)
    for kind in (source, short):
        lengths = [len(row) for seed in range(4) for row in TextStep.draw(kind, np.random.default_rng(seed)).rows]
        assert (max(lengths) > 20) == (kind is source)


def test_workers_by_default() -> None:
    assert default_num_workers(torch.device("cpu")) == 0
    assert 1 <= default_num_workers(torch.device("cuda")) <= 8
