"""The loop over the stages: schedule, optimiser, validation, checkpoints, resume.

A stage lasts a number of minutes, so one command serves a laptop and a GPU server; its learning rate follows a cosine
over that time. What is validated and saved is a running average of the weights; of the last stage the best one by
validation is kept. An interrupted run goes on from its checkpoint as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerBase

from medvlsam2.errors import InvalidConfig
from medvlsam2.model.device.precision import PlainAttention, has_bfloat16, settle
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity
from medvlsam2.training.calibrate import calibrate
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.interrupt import Stopped, StopSignals
from medvlsam2.training.parts import set_trainable
from medvlsam2.training.running.averaging import WeightAverage
from medvlsam2.training.running.meter import Meter
from medvlsam2.training.running.ranks import ALONE, Ranks
from medvlsam2.training.running.run_folder import FollowedRun, Line, RunFolder
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.mix import mix
from medvlsam2.training.steps.stream import (
    Drawn,
    StepStream,
    default_num_workers,
    step_rng,
)

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 20
MIN_LEARNING_RATE = 0.02
"""End of the cosine, as a part of the highest learning rate."""
Validate = Callable[[MedVLSAM2], float]
"""A score of a model in evaluation mode; higher is better."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    steps: int
    validation_score: float | None
    """The best score; None where none was taken."""


def fit(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    cases: list[Case],
    config: TrainConfig,
    *,
    run: Path,
    report: Callable[[Line], None],
    validate: Validate | None = None,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Run the stages of ``config``, going on from ``run``'s checkpoint where there is one.

    Args:
        model: trained in place.
        tokenizer: the model's.
        cases: cached scans; stage 0 needs none.
        config: what to do.
        run: folder of this run.
        report: called every few steps.
        validate: scores the model now and then in the last stage, whose best weights are the result; None: the
            result is the end of training.
        clock: seconds from any start on.
        ranks: the processes that train together; the first one's clock counts, and its weights are the result.

    Raises:
        DatasetError: if a stage has no case to train on.
        InvalidConfig: if ``run`` holds another run.
        Stopped: after SIGTERM or SIGINT, with the checkpoint written.
    """
    kind = RunFolder if ranks.is_first else FollowedRun
    with closing(kind(run, report)) as folder, StopSignals() as signals:
        folder.begin(config)
        max_tokens = model.config.language.max_position_embeddings
        source = Source(tokenizer, cases, config, model.config.sam2, max_tokens)
        ranks.wait()
        _Loop(model, source, folder, signals=signals, validate=validate, clock=clock, ranks=ranks).run()
        model.eval()
        return Outcome(folder.progress.step, folder.best_score)


class _Loop:
    """The stages of one run."""

    def __init__(
        self,
        model: MedVLSAM2,
        source: Source,
        folder: RunFolder,
        *,
        signals: StopSignals,
        validate: Validate | None,
        clock: Callable[[], float],
        ranks: Ranks,
    ) -> None:
        self.model = model
        self.source = source
        self.config = source.config
        self.folder = folder
        self.signals = signals
        self.validate = validate
        self.clock = clock
        self.ranks = ranks
        self.progress = folder.progress
        self.accelerator = Accelerator(mixed_precision=precision())
        self.device = self.accelerator.device

    def run(self) -> None:
        """Every stage that is not done yet, then the best weights and the calibration."""
        if self.folder.state is not None:
            self.model.load_state_dict(self.folder.state["model"])
            logger.info("resumed at step %d", self.progress.step)
        self._place()
        if self.progress.stage_index == len(self.config.stages):
            return
        if (similarity := self.model.sam2.text_similarity) is not None:
            similarity.forget_calibration()
        while self.progress.stage_index < len(self.config.stages):
            stage = _Stage(self, self.progress.stage_index)
            stage.run()
            self.progress.next_stage()
            if self.progress.stage_index < len(self.config.stages):
                self.folder.save(self.model.state_dict())
        if self.ranks.is_first:
            self._finish(similarity)

    def _finish(self, similarity: TextSimilarity | None) -> None:
        """The best weights, calibrated."""
        best = self.folder.best()
        if best is not None:
            self.model.load_state_dict(best["model"])
            logger.info("best score %.4f at step %d", best["score"], best["step"])
        if self.config.stages[-1] == 3 and similarity is not None:
            calibrate(self.model, self.source.tokenizer, self.source.cases, seed=self.config.seed)
        self.folder.save(self.model.state_dict())

    def _place(self) -> None:
        """Put the model on its device, in the form in which it is fast there."""
        settle(self.device)
        self.model.to(self.device)
        encoder = self.model.sam2.image_encoder
        if self.config.channels_last:
            encoder.to(memory_format=torch.channels_last)
        if self.config.compile:
            encoder.compile()


class _Stage:
    """One stage of a run, from its checkpoint on where that was written in it."""

    def __init__(self, loop: _Loop, index: int) -> None:
        self.loop, self.index = loop, index
        self.config, self.folder, self.progress = loop.config, loop.folder, loop.progress
        self.model, self.accelerator = loop.model, loop.accelerator
        self.stage, self.seconds = self.config.stages[index], self.config.stage_minutes[index] * 60
        set_trainable(self.model, self.stage)
        self.model.train()
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = self.accelerator.prepare(
            torch.optim.AdamW(
                self.parameters, lr=0.0, weight_decay=self.config.weight_decay, betas=(0.9, 0.98), fused=True
            )
        )
        self.average = WeightAverage(self.parameters, self.config.ema_decay)
        state = self.folder.state
        if state is not None and "optimizer" in state and state["progress"]["stage_index"] == index:
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.load_state_dict(state["average"])
        self.folder.state = None
        self.meter = Meter(loop.device)
        self.began = loop.clock() - self.progress.stage_seconds
        self.saved = loop.clock()

    @property
    def is_last(self) -> bool:
        """Whether the run ends with it."""
        return self.index == len(self.config.stages) - 1

    def run(self) -> None:
        """Train until the stage's minutes are over, and leave the average of the weights in the model."""
        steps = iter(self._loader())
        while self._elapsed() < self.seconds:
            self._step(next(steps))
            self._look_up()
        self.average.adopt()
        if self.is_last and self.progress.validated_s < self.progress.stage_seconds:
            self._validate()

    def _loader(self) -> torch.utils.data.DataLoader[Drawn]:
        shares = mix(self.stage, self.loop.source, has_similarity=self.model.sam2.text_similarity is not None)
        workers, ranks = self.config.num_workers, self.loop.ranks
        return StepStream(self.loop.source, shares, self.index, self.progress.stage_step, rank=ranks.number).loader(
            num_workers=default_num_workers(self.loop.device, ranks.local_size) if workers is None else workers,
            pinned=self.loop.device.type == "cuda",
        )

    def _elapsed(self) -> float:
        self.progress.stage_seconds = self.loop.ranks.first(self.loop.clock() - self.began)
        return self.progress.stage_seconds

    def _step(self, drawn: Drawn) -> None:
        """One step of the optimiser; the host does not wait for the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        ranks = self.loop.ranks
        rng = step_rng(self.config.seed, self.index, self.progress.stage_step, purpose=1, rank=ranks.number)
        torch.manual_seed(int(rng.integers(2**62)))
        with self.meter.step():
            with self.accelerator.autocast(), _attention(self.loop.device):
                result = drawn.step.to(self.loop.device).run(self.model, self.loop.source.tokenizer, rng)
            self.optimizer.zero_grad()
            self.accelerator.backward(result.loss)
            ranks.mean_gradients(self.parameters)
            norm = self.accelerator.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
            self.optimizer.step()
            self.average.update()
        self.meter.add(drawn.kind, result, norm, drawn.step.num_samples * ranks.size)
        self.progress.step += 1
        self.progress.stage_step += 1

    def _look_up(self) -> None:
        """What is due between two steps: a line, a validation, a checkpoint, the end."""
        if self.progress.step % LOG_EVERY_STEPS == 0:
            self._log()
        validated_ago = self._elapsed() - self.progress.validated_s
        if self.is_last and validated_ago > self.config.validation_minutes * 60:
            with self.average.applied():
                self._validate()
        stopped = int(self.loop.ranks.first(float(self.loop.signals.number or 0)))
        if stopped or self.loop.clock() - self.saved > self.config.checkpoint_minutes * 60:
            self.folder.save(
                self.model.state_dict(), optimizer=self.optimizer.state_dict(), average=self.average.state_dict()
            )
            self.saved = self.loop.clock()
        if stopped:
            # Torchrun ends all processes as soon as one has left, even one that still writes.
            self.loop.ranks.wait()
            raise Stopped(stopped, self.progress.step)

    def _log(self) -> None:
        losses, speed = self.meter.read()
        if not math.isfinite(losses["loss"]):
            raise InvalidConfig(
                f"The loss is {losses['loss']} at step {self.progress.step} of stage {self.stage}. Go on from the "
                f"checkpoint with a learning rate lower than {self.config.learning_rates[self.stage]}."
            )
        fraction = min(self._elapsed() / self.seconds, 1.0)
        line = Line(
            stage=self.stage,
            step=self.progress.step,
            fraction=fraction,
            losses=losses,
            **asdict(speed),
            validation=self.folder.last_score,
            best=self.folder.best_score,
        )
        self.folder.write(line, learning_rate=self._rate())

    def _validate(self) -> None:
        if self.loop.validate is not None and self.loop.ranks.is_first:
            started = self.loop.clock()
            self.model.eval()
            with torch.no_grad():
                score = self.loop.validate(self.model)
            self.model.train()
            self.folder.write_validation(score, self.loop.clock() - started, self.model.state_dict())
        self.progress.validated_s = self._elapsed()

    def _rate(self) -> float:
        highest = self.config.learning_rates[self.stage]
        fraction = min(self.progress.stage_seconds / self.seconds, 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        warmup = min(1.0, (self.progress.stage_step + 1) / self.config.warmup_steps)
        return highest * warmup * (MIN_LEARNING_RATE + (1 - MIN_LEARNING_RATE) * cosine)


def precision() -> str:
    """bf16 where the hardware computes in it, else full precision."""
    return "bf16" if has_bfloat16(torch.device("cuda" if torch.cuda.is_available() else "cpu")) else "no"


@contextmanager
def _attention(device: torch.device) -> Iterator[None]:
    """On a CPU the flash kernel's backward is slow for SAM 2's narrow heads: a step takes 1.3 times as long."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH), PlainAttention():
        yield
