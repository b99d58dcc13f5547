"""One stage of a run: its optimiser, its steps, its learning rate over time, and what is due between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import torch
from peft.helpers import disable_input_dtype_casting
from torch.nn.attention import SDPBackend, sdpa_kernel

from medvlsam2.errors import InvalidConfig
from medvlsam2.model.device.precision import PlainAttention, autocast
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.interrupt import Stopped, StopSignals
from medvlsam2.training.running.averaging import WeightAverage
from medvlsam2.training.running.meter import Meter
from medvlsam2.training.running.ranks import Ranks
from medvlsam2.training.running.run_folder import Line, RunFolder
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.stream import Drawn, StepStream, default_num_workers, step_rng

MIN_LEARNING_RATE: Final = 0.02
"""End of the cosine, as a part of the highest learning rate."""
Validate = Callable[[MedVLSAM2], float]
"""A score of a model in evaluation mode; higher is better."""


@dataclass(frozen=True)
class StagePlan:
    """What a stage trains, and on which steps."""

    stage: int
    """0 to 3: chooses the learning rate, and names the stage in logs."""
    set_trainable: Callable[[MedVLSAM2], None]
    """Freezes everything but what the stage trains."""
    steps: Callable[[int], StepStream]
    """The stage's steps from the one of this number on."""
    log_every_steps: int
    """Steps of one line of the log."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all stages of one run share."""

    model: MedVLSAM2
    source: Source
    folder: RunFolder
    signals: StopSignals
    validate: Validate | None
    clock: Callable[[], float]
    ranks: Ranks
    device: torch.device

    @property
    def config(self) -> TrainConfig:
        """What the run was told."""
        return self.source.config


class Stage:
    """One stage of a run; where the run's checkpoint was written in this stage, it goes on from there.

    Args:
        run: the run.
        plan: what this stage does.
        index: its place in the run.
        is_last: whether the run ends with it.
    """

    def __init__(self, run: Run, plan: StagePlan, index: int, *, is_last: bool) -> None:
        self.shared, self.plan, self.index, self.is_last = run, plan, index, is_last
        self.config, self.folder, self.progress, self.model = run.config, run.folder, run.folder.progress, run.model
        self.length = _Length.of(self.config, index)
        plan.set_trainable(self.model)
        self.model.train()
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, weight_decay=self.config.weight_decay, betas=(0.9, 0.98), fused=True
        )
        self.average = WeightAverage(self.parameters, self.config.ema_decay)
        state = self.folder.state
        if state is not None and "optimizer" in state and state["progress"]["stage_index"] == index:
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.load_state_dict(state["average"])
        self.folder.state = None
        self.meter = Meter(run.device)
        self.began = run.clock() - self.progress.stage_seconds
        self.saved = run.clock()

    def run(self) -> None:
        """Train until the stage is over, and leave the average of the weights in the model.

        Raises:
            Stopped: after SIGTERM or SIGINT, with the checkpoint written.
            InvalidConfig: if the loss is no longer a number.
        """
        steps = iter(self._loader())
        while self._fraction() < 1.0:
            self._step(next(steps))
            self._look_up()
        self.average.adopt()
        if self.is_last and self.progress.validated_s < self.progress.stage_seconds:
            self._validate()

    def _loader(self) -> torch.utils.data.DataLoader[Drawn]:
        device, ranks, workers = self.shared.device, self.shared.ranks, self.config.num_workers
        return self.plan.steps(self.progress.stage_step).loader(
            num_workers=default_num_workers(device, ranks.local_size) if workers is None else workers,
            pinned=device.type == "cuda",
        )

    def _elapsed(self) -> float:
        self.progress.stage_seconds = self.shared.ranks.first(self.shared.clock() - self.began)
        return self.progress.stage_seconds

    def _fraction(self) -> float:
        """How much of the stage has passed, 0..1."""
        self._elapsed()
        return self.length.fraction(self.progress.stage_step, self.progress.stage_seconds)

    def _step(self, drawn: Drawn) -> None:
        """One step of the optimiser; the host does not wait for the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        device, ranks = self.shared.device, self.shared.ranks
        rng = step_rng(self.config.seed, self.index, self.progress.stage_step, purpose=1, rank=ranks.number)
        torch.manual_seed(int(rng.integers(2**62)))
        with self.meter.step():
            # Autocast casts the inputs of the adapter; with peft's own cast a step on a CPU takes a third longer.
            with autocast(device), _attention(device), disable_input_dtype_casting(self.model.language.decoder):
                result = drawn.step.to(device).run(self.model, self.shared.source.tokenizer, rng)
            self.optimizer.zero_grad()
            torch.autograd.backward(result.loss)
            ranks.mean_gradients(self.parameters)
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
            self.optimizer.step()
            self.average.update()
        self.meter.add(drawn.kind, result, norm, drawn.step.num_samples * ranks.size)
        self.progress.step += 1
        self.progress.stage_step += 1

    def _look_up(self) -> None:
        """What is due between two steps: a line, a validation, a checkpoint, the end."""
        if self.progress.step % self.plan.log_every_steps == 0:
            self._log()
        validated_ago = self._elapsed() - self.progress.validated_s
        if self.is_last and validated_ago > self.config.validation_minutes * 60:
            with self.average.applied():
                self._validate()
        run = self.shared
        stopped = int(run.ranks.first(float(run.signals.number or 0)))
        if stopped or run.clock() - self.saved > self.config.checkpoint_minutes * 60:
            self.folder.save(
                self.model.state_dict(), optimizer=self.optimizer.state_dict(), average=self.average.state_dict()
            )
            self.saved = run.clock()
        if stopped:
            # Torchrun ends all processes as soon as one has left, even one that still writes.
            run.ranks.wait()
            raise Stopped(stopped, self.progress.step)

    def _log(self) -> None:
        losses, speed = self.meter.read()
        if not math.isfinite(losses["loss"]):
            raise InvalidConfig(
                f"The loss is {losses['loss']} at step {self.progress.step} of stage {self.plan.stage}. Go on from the "
                f"checkpoint with a learning rate lower than {self.config.learning_rates[self.plan.stage]}."
            )
        line = Line(
            stage=self.plan.stage,
            step=self.progress.step,
            fraction=min(self._fraction(), 1.0),
            losses=losses,
            **asdict(speed),
            validation=self.folder.last_score,
            best=self.folder.best_score,
        )
        self.folder.write(line, learning_rate=self._rate())

    def _validate(self) -> None:
        run = self.shared
        if run.validate is not None and run.ranks.is_first:
            started = run.clock()
            self.model.eval()
            with torch.no_grad():
                score = run.validate(self.model)
            self.model.train()
            self.folder.write_validation(score, run.clock() - started, self.model.state_dict())
        self.progress.validated_s = self._elapsed()

    def _rate(self) -> float:
        """The learning rate of the next step: a linear warm-up, then a cosine down to its end."""
        highest = self.config.learning_rates[self.plan.stage]
        fraction = min(self.length.fraction(self.progress.stage_step, self.progress.stage_seconds), 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        warmup = min(1.0, (self.progress.stage_step + 1) / self.config.warmup_steps)
        return highest * warmup * (MIN_LEARNING_RATE + (1 - MIN_LEARNING_RATE) * cosine)


@dataclass(frozen=True)
class _Length:
    """How long a stage is: a number of steps, or of seconds."""

    steps: int | None
    seconds: float

    @classmethod
    def of(cls, config: TrainConfig, index: int) -> _Length:
        return cls(config.steps[index] if config.steps else None, config.stage_minutes[index] * 60)

    def fraction(self, steps: int, seconds: float) -> float:
        """How much of the stage has passed; 1 or more at its end."""
        return seconds / self.seconds if self.steps is None else steps / self.steps


@contextmanager
def _attention(device: torch.device) -> Iterator[None]:
    """On a CPU the flash kernel's backward is slow for SAM 2's narrow heads: a step takes 1.3 times as long."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH), PlainAttention():
        yield
