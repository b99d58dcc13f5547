"""The loop over the stages of a run: where it stands, its best weights, and how it goes on after an interruption.

A stage lasts a number of minutes, so one command serves a laptop and a GPU server, or a number of steps, so that the
run is the same on every machine; its learning rate follows a cosine over that length. What is validated and saved is a
running average of the weights; of the last stage the best one by validation is kept. A run that was interrupted goes
on from its checkpoint, and by steps its result is that of a run without interruption.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.device.precision import has_bfloat16, settle
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.calibrate import calibrate
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.interrupt import StopSignals
from medvlsam2.training.parts import set_trainable
from medvlsam2.training.readout import fit_seg_projector
from medvlsam2.training.running.ranks import ALONE, Ranks
from medvlsam2.training.running.run_folder import FollowedRun, Line, RunFolder
from medvlsam2.training.stage import Run, Stage, StagePlan, Validate
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.mix import mix
from medvlsam2.training.steps.stream import StepStream
from medvlsam2.training.teacher import Teacher

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 20


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
    teacher: Teacher | None = None,
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
        teacher: the model whose prompt tokens stage 4 learns.

    Raises:
        DatasetError: if a stage has no case to train on.
        InvalidConfig: if ``run`` holds another run.
        Stopped: after SIGTERM or SIGINT, with the checkpoint written.
    """
    source = Source(tokenizer, cases, config, model.config.sam2, model.config.language.max_position_embeddings, teacher)
    plans = [_plan(model, source, index, ranks) for index in range(len(config.stages))]
    return run_stages(
        model,
        source,
        plans,
        run=run,
        report=report,
        validate=validate,
        clock=clock,
        ranks=ranks,
        finish=partial(_finish, source),
    )


def run_stages(
    model: MedVLSAM2,
    source: Source,
    plans: Sequence[StagePlan],
    *,
    run: Path,
    report: Callable[[Line], None],
    validate: Validate | None = None,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
    device: torch.device | None = None,
    finish: Callable[[MedVLSAM2], None] | None = None,
) -> Outcome:
    """Run stages one after the other; see :func:`fit`.

    Args:
        model: trained in place, and left on the device in evaluation mode.
        source: what steps are drawn from, and what the run was told.
        plans: what each stage of ``source.config`` does.
        run: folder of this run.
        report: called with each line of the log.
        validate: as for :func:`fit`.
        clock: seconds from any start on.
        ranks: as for :func:`fit`.
        device: where to train; by default a GPU where there is one.
        finish: called with the best weights, after the last stage.

    Raises:
        InvalidConfig: if ``run`` holds another run, or the loss is no longer a number.
        Stopped: after SIGTERM or SIGINT, with the checkpoint written.
    """
    kind = RunFolder if ranks.is_first else FollowedRun
    with closing(kind(run, report)) as folder, StopSignals() as signals:
        folder.begin(source.config)
        ranks.wait()
        shared = Run(
            model=model,
            source=source,
            folder=folder,
            signals=signals,
            validate=validate,
            clock=clock,
            ranks=ranks,
            device=ranks.device() if device is None else device,
        )
        _run(shared, plans, finish)
        model.eval()
        return Outcome(folder.progress.step, folder.best_score)


def _run(run: Run, plans: Sequence[StagePlan], finish: Callable[[MedVLSAM2], None] | None) -> None:
    """Every stage that is not done yet, then the best weights."""
    model, folder, progress = run.model, run.folder, run.folder.progress
    if folder.state is not None:
        model.load_state_dict(folder.state["model"])
        logger.info("resumed at step %d", progress.step)
    _place(run)
    if progress.stage_index == len(plans):
        return
    while progress.stage_index < len(plans):
        index = progress.stage_index
        Stage(run, plans[index], index, is_last=index == len(plans) - 1).run()
        progress.next_stage()
        if progress.stage_index < len(plans):
            folder.save(model.state_dict())
    if run.ranks.is_first:
        best = folder.best()
        if best is not None:
            model.load_state_dict(best["model"])
            logger.info("best score %.4f at step %d", best["score"], best["step"])
        if finish is not None:
            finish(model)
        folder.save(model.state_dict())


def _plan(model: MedVLSAM2, source: Source, index: int, ranks: Ranks) -> StagePlan:
    """One of the stages 0 to 4."""
    stage = source.config.stages[index]

    def begin(model: MedVLSAM2) -> None:
        set_trainable(model, stage)
        if stage != 4 and model.sam2.text_similarity is not None:
            model.sam2.text_similarity.forget_calibration()

    def shares() -> dict[str, float]:
        return mix(stage, source, has_similarity=model.sam2.text_similarity is not None)

    return StagePlan(
        stage, begin, lambda first: StepStream(source, shares(), index, first, rank=ranks.number), LOG_EVERY_STEPS
    )


def _finish(source: Source, model: MedVLSAM2) -> None:
    """Calibrate the masks of words, where the last stage has trained masks; after stage 4 fit the [SEG] projector."""
    if source.config.stages[-1] == 4 and source.teacher is not None:
        fit_seg_projector(model, source.tokenizer, source.cases, source.teacher, seed=source.config.seed)
    elif source.config.stages[-1] == 3 and model.sam2.text_similarity is not None:
        calibrate(model, source.tokenizer, source.cases, seed=source.config.seed)


def _place(run: Run) -> None:
    """Put the model on its device, in the form in which it is fast there."""
    settle(run.device)
    if run.device.type == "cuda":
        torch.cuda.set_device(run.device)
    run.model.place(run.device)
    encoder = run.model.sam2.image_encoder
    if run.config.channels_last:
        encoder.to(memory_format=torch.channels_last)
    if run.config.compile:
        encoder.compile()


def precision() -> str:
    """bf16 where the hardware computes in it, else full precision."""
    return "bf16" if has_bfloat16(torch.device("cuda" if torch.cuda.is_available() else "cpu")) else "no"
