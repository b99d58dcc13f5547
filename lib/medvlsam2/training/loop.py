"""The loop over the stages: schedule, optimiser, checkpoints, resume, logs.

A stage lasts a number of minutes, so one command serves a laptop and a GPU server; its learning rate follows a cosine
over that time. A run folder holds the configuration, ``metrics.jsonl``, TensorBoard events and ``checkpoint.pt``, from
which an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language.corpus import sentences
from medvlsam2.errors import DatasetError
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.calibrate import calibrate
from medvlsam2.training.cases import Case
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.parts import set_trainable
from medvlsam2.training.samples import DenseSample, conversations, dense_sample, paired_requests, segmentation_sample
from medvlsam2.training.step import (
    StepResult,
    alignment_step,
    conversation_step,
    dense_step,
    segmentation_step,
    text_step,
)
from medvlsam2.transforms.text import Conversation, encode

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG_EVERY_STEPS = 20
MIN_LEARNING_RATE = 0.02
"""End of the cosine, as a part of the highest learning rate."""


@dataclass
class Progress:
    """Where a run stands; stored in its checkpoint."""

    stage_index: int = 0
    stage_seconds: float = 0.0
    step: int = 0


@dataclass(frozen=True)
class Line:
    """One line of progress, for bars and logs."""

    stage: int
    step: int
    fraction: float
    """Share of the stage's time that has passed."""
    losses: dict[str, float]
    steps_per_s: float


def fit(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    cases: list[Case],
    config: TrainConfig,
    *,
    run: Path,
    report: Callable[[Line], None],
) -> None:
    """Run the stages of ``config``, going on from ``run``'s checkpoint where there is one.

    Args:
        model: trained in place.
        tokenizer: the model's.
        cases: cached scans; stage 0 needs none.
        config: what to do.
        run: folder of this run.
        report: called every few steps.

    Raises:
        DatasetError: if a stage has no case to train on.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(asdict(config), indent=2))
    accelerator = Accelerator(mixed_precision=_precision())
    model.to(accelerator.device)
    progress = _resume(model, run)
    with contextlib.closing(SummaryWriter(str(run))) as writer:
        log = _Log(run, writer, report)
        stages = _Stages(model, tokenizer, cases, config, accelerator)
        for index in range(progress.stage_index, len(config.stages)):
            stages.run(index, progress, log)
            if config.stages[index] == 3 and model.sam2.text_similarity is not None:
                calibrate(model, tokenizer, cases, seed=config.seed)
            progress.stage_index, progress.stage_seconds = index + 1, 0.0
            _save(model, None, progress, run)
    model.eval()


@dataclass(frozen=True)
class _Log:
    """Where progress is written."""

    folder: Path
    writer: SummaryWriter
    report: Callable[[Line], None]

    def write(self, line: Line, extra: dict[str, float]) -> None:
        """One line to the file, to TensorBoard and to the caller."""
        with (self.folder / "metrics.jsonl").open("a") as stream:
            stream.write(json.dumps({**asdict(line), **extra}) + "\n")
        for name, value in line.losses.items():
            self.writer.add_scalar(f"stage{line.stage}/{name}", value, line.step)
        self.report(line)


class _Stages:
    """The stages of one run."""

    def __init__(
        self,
        model: MedVLSAM2,
        tokenizer: PreTrainedTokenizerBase,
        cases: list[Case],
        config: TrainConfig,
        accelerator: Accelerator,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.accelerator = accelerator
        self.talkative = any(case.facts is not None for case in cases)
        self.phantoms = [case for case in cases if case.is_phantom]
        self.scans = [case for case in cases if not case.is_phantom and case.present_keys]

    def run(self, index: int, progress: Progress, log: _Log) -> None:
        """Train until the stage's minutes are over."""
        stage, seconds = self.config.stages[index], self.config.minutes[index] * 60
        set_trainable(self.model, stage)
        self.model.train()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = self.accelerator.prepare(
            torch.optim.AdamW(parameters, lr=0.0, weight_decay=self.config.weight_decay, betas=(0.9, 0.98))
        )
        _restore(optimizer, log.folder, index)
        batches = self._steps(stage, progress.step)
        start, saved = time.monotonic() - progress.stage_seconds, time.monotonic()
        first_step, first_time = progress.step, time.monotonic()
        while (elapsed := time.monotonic() - start) < seconds:
            rate = self._rate(stage, progress.step - first_step, elapsed / seconds)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with self.accelerator.autocast(), _attention(self.accelerator.device):
                result = next(batches)
            optimizer.zero_grad()
            self.accelerator.backward(result.loss)
            norm = self.accelerator.clip_grad_norm_(parameters, self.config.max_grad_norm)
            optimizer.step()
            progress.step += 1
            progress.stage_seconds = time.monotonic() - start
            if progress.step % LOG_EVERY_STEPS == 0:
                speed = (progress.step - first_step) / (time.monotonic() - first_time)
                values = {name: float(value) for name, value in {"loss": result.loss.detach(), **result.parts}.items()}
                line = Line(stage, progress.step, min(elapsed / seconds, 1.0), values, speed)
                log.write(line, {"grad_norm": float(norm), "learning_rate": rate})
            if time.monotonic() - saved > self.config.checkpoint_minutes * 60:
                _save(self.model, optimizer, progress, log.folder)
                saved = time.monotonic()

    def _steps(self, stage: int, step: int) -> Iterator[StepResult]:
        rng = np.random.default_rng([self.config.seed, stage, step])
        torch.manual_seed(self.config.seed + stage + step)
        if stage == 0:
            return self._text_steps(rng)
        if stage == 1:
            return self._conversation_steps(rng)
        steps = self._conversation_steps(rng) if stage == 2 else self._segmentation_steps(rng)
        return self._with_alignment(steps, self.config.alignment_shares[stage - 2], rng)

    def _text_steps(self, rng: np.random.Generator) -> Iterator[StepResult]:
        texts = sentences(int(rng.integers(2**31)), 10**9)
        while True:
            rows = [torch.tensor(encode(self.tokenizer, next(texts))) for _ in range(self.config.texts_per_step)]
            yield text_step(self.model, rows)

    def _conversation_steps(self, rng: np.random.Generator) -> Iterator[StepResult]:
        if not self.talkative:
            raise DatasetError("No case to talk about: nothing is known of any of them. Give --phantoms or --data.")
        while True:
            chosen: list[Tensor] = []
            talks: list[list[Conversation]] = []
            while len(chosen) < self.config.volumes_per_step:
                case = self._draw_case(rng, real_share=self.config.real_share / 2)
                found = conversations(case, rng, self.config.conversations_per_volume)
                if found:
                    chosen.append(torch.from_numpy(np.array(case.whole, dtype=np.float32)))
                    talks.append(found)
            yield conversation_step(self.model, self.tokenizer, torch.stack(chosen), talks)

    def _with_alignment(
        self, steps: Iterator[StepResult], share: float, rng: np.random.Generator
    ) -> Iterator[StepResult]:
        while True:
            if rng.random() >= share:
                yield next(steps)
                continue
            case = self._draw_case(rng, real_share=self.config.real_share)
            whole = torch.from_numpy(np.array(case.whole, dtype=np.float32))
            wordings = paired_requests(case, rng, self.config.requests_per_alignment)
            yield alignment_step(self.model, self.tokenizer, whole, wordings)

    def _segmentation_steps(self, rng: np.random.Generator) -> Iterator[StepResult]:
        config = self.config
        talks = self._conversation_steps(rng)
        while True:
            if self.talkative and rng.random() < config.conversation_share:
                yield next(talks)
                continue
            if self.model.sam2.text_similarity is not None and rng.random() < config.dense_share:
                yield dense_step(self.model, self.tokenizer, self._dense_samples(rng))
                continue
            with_memory = bool(rng.random() < config.memory_share)
            samples = [
                segmentation_sample(
                    self._draw_case(rng, real_share=config.real_share),
                    rng,
                    num_slices=config.clip_slices if with_memory else config.slices_per_case,
                    num_objects=config.objects_per_case,
                    contiguous=with_memory,
                    neighbour_slices=self.model.config.sam2.neighbour_slices,
                )
                for _ in range(1 if with_memory else config.cases_per_step)
            ]
            yield segmentation_step(self.model, self.tokenizer, samples, rng, with_memory=with_memory)

    def _dense_samples(self, rng: np.random.Generator) -> list[DenseSample]:
        return [
            dense_sample(
                self._draw_case(rng, real_share=self.config.real_share),
                rng,
                num_slices=self.config.slices_per_case,
                num_structures=self.config.structures_per_dense,
                neighbour_slices=self.model.config.sam2.neighbour_slices,
            )
            for _ in range(self.config.cases_per_step)
        ]

    def _draw_case(self, rng: np.random.Generator, *, real_share: float) -> Case:
        if not self.phantoms and not self.scans:
            raise DatasetError(
                "There is no case to train on: 0 phantoms and 0 labelled scans. Give --phantoms or --data."
            )
        real = bool(self.scans) and (not self.phantoms or bool(rng.random() < real_share))
        if not real:
            return self.phantoms[int(rng.integers(len(self.phantoms)))]
        shares = np.array([len(scan.keys) for scan in self.scans], dtype=float)
        return self.scans[int(rng.choice(len(self.scans), p=shares / shares.sum()))]

    def _rate(self, stage: int, step: int, fraction: float) -> float:
        highest = self.config.learning_rates[stage]
        cosine = 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
        warmup = min(1.0, (step + 1) / self.config.warmup_steps)
        return highest * warmup * (MIN_LEARNING_RATE + (1 - MIN_LEARNING_RATE) * cosine)


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU the flash kernel's backward is slow for SAM 2's narrow heads: a step takes 1.3 times as long."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def _precision() -> str:
    """bf16 where the hardware computes in it, else full precision."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


def _save(model: MedVLSAM2, optimizer: torch.optim.Optimizer | None, progress: Progress, run: Path) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "progress": asdict(progress),
    }
    temporary = run / f"{CHECKPOINT}.part"
    torch.save(state, temporary)
    os.replace(temporary, run / CHECKPOINT)


def _resume(model: MedVLSAM2, run: Path) -> Progress:
    if not (run / CHECKPOINT).is_file():
        return Progress()
    state = torch.load(run / CHECKPOINT, weights_only=True)
    model.load_state_dict(state["model"])
    logger.info("resumed at step %d", state["progress"]["step"])
    return Progress(**state["progress"])


def _restore(optimizer: torch.optim.Optimizer, run: Path, stage_index: int) -> None:
    if not (run / CHECKPOINT).is_file():
        return
    state = torch.load(run / CHECKPOINT, weights_only=True)
    if state["optimizer"] is not None and state["progress"]["stage_index"] == stage_index:
        optimizer.load_state_dict(state["optimizer"])
