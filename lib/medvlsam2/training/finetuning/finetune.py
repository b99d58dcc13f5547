"""What annotators corrected makes the model better: a short fit of a few parts, a gate, a new version.

Only LoRA, the [SEG] projector and the mask decoder are trained, by the same loop as any training. A version is
published only if its weights are finite and the gate lets it through; either way it is kept as a folder.

A run that was interrupted goes on from its checkpoint when the same labels are trained on again; where the labels, the
options, the code or the model's version are others, it begins anew. A version appears whole or not at all, and only
after the last step, so an interrupted run has published nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

import medvlsam2
from medvlsam2 import atomic_files
from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.errors import InvalidConfig
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.device import memory_limit
from medvlsam2.training.finetuning import hold_out, steps
from medvlsam2.training.finetuning.gate import Measured, Scores, Sizes, falls, mean_dice
from medvlsam2.training.finetuning.scans import FinetuningScans
from medvlsam2.training.loop import run_stages
from medvlsam2.training.parts import set_trainable_for_finetuning
from medvlsam2.training.running.provenance import code_version
from medvlsam2.training.running.run_folder import METRICS, Line
from medvlsam2.training.steps.base import Source

logger = logging.getLogger(__name__)

GPU_SHARE: Final = 0.5
"""Part of the GPU memory that is free at the start: the other half stays for the requests of a server beside it, whose
slice features grow with each scan that it is asked about."""
NOT_FINITE: Final = "some of its weights are no finite numbers in half precision"
_RUN_PREFIX: Final = "run-"


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning run."""

    epochs: int = 5
    """Passes over the submitted scans."""
    steps_per_scan: int = 4
    """Steps on each scan in a pass."""
    learning_rate: float = 5e-5
    """AdamW's highest learning rate; at four times this a few dozen steps undo what the shipped weights know."""
    seed: int = 0
    """Seed of the sampling."""


@dataclass(frozen=True)
class PublishedVersion:
    """What came of a run."""

    version: str
    published: bool
    """Whether it answers from now on; False: it was refused, and the old version stays."""
    metrics: dict[str, float]
    refused: tuple[str, ...] = ()
    """Why it was refused: a sentence for each structure that fell too much."""
    left_out: tuple[str, ...] = ()
    """A sentence for each submitted label that could not be used."""


EpochDone = Callable[[int, int, float], None]


def finetune(
    model_dir: Path,
    labels: Sequence[FinalLabel],
    config: FinetuneConfig,
    *,
    work: Path,
    device: str = "cpu",
    progress: EpochDone | None = None,
) -> PublishedVersion:
    """Fit the model to submitted labels and publish a version.

    Args:
        model_dir: the model's folder; its current version is the start.
        labels: the submitted labels.
        config: how long and how fast.
        work: folder of this program alone, for prepared scans and the checkpoint of the run. It is private, stays
            after an interruption, and is removed at the end of the run.
        device: "cpu", "cuda" or "cuda:N". On a GPU at most half of the memory that is free now is taken.
        progress: called after each epoch with its number, their count and the mean loss.

    Raises:
        DatasetError: if no label has a structure that the vocabulary knows.
        DeviceFull: if the device's memory does not suffice.
        InvalidConfig: if the loss is no longer a number: nothing is published, and the next run begins anew.
        Stopped: after SIGTERM or SIGINT, one step later at most, with the checkpoint written.
    """
    atomic_files.make_folder(work, private=True)
    loaded = checkpoint.load(model_dir)
    scans = FinetuningScans.prepare(labels, work / "cases", loaded.config)
    run = work / _run_name(model_dir, loaded.version, scans, config)
    for other in work.glob(f"{_RUN_PREFIX}*"):
        if other != run:
            shutil.rmtree(other)
    found = _found_already(model_dir, run)
    if found is None:
        with memory_limit.share_of_free(torch.device(device), GPU_SHARE), memory_limit.enough_memory():
            found = _train_and_publish(model_dir, loaded, scans, config, run=run, device=device, progress=progress)
    shutil.rmtree(work)
    return PublishedVersion(**{**asdict(found), "left_out": scans.left_out})


def _train_and_publish(
    model_dir: Path,
    loaded: LoadedModel,
    scans: FinetuningScans,
    config: FinetuneConfig,
    *,
    run: Path,
    device: str,
    progress: EpochDone | None,
) -> PublishedVersion:
    loaded.model.to(device)
    before = Measured(loaded.version, hold_out.measure(loaded.model, loaded.tokenizer, scans.held_out))
    losses = _fit(loaded, scans, config, run=run, device=device, progress=progress)
    after = hold_out.measure(loaded.model, loaded.tokenizer, scans.held_out)
    # Also a run that had only its hold-out left to do, so that its loop had no stage to begin.
    set_trainable_for_finetuning(loaded.model)
    tensors = checkpoint.trainable_tensors(loaded.model)
    known = [before, *hold_out.recorded(model_dir)]
    refused = _refused(tensors, after, known, hold_out.sizes(scans.held_out))
    metrics = {
        "epoch": float(config.epochs),
        "total_epochs": float(config.epochs),
        "best_metric": mean_dice(before.scores if refused else after),
        "hold_out_dice_before": mean_dice(before.scores),
        "hold_out_dice_after": mean_dice(after),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "scans_trained": float(len(scans.train)),
        "scans_held_out": float(scans.num_submitted_held_out),
    }
    version = _next_version(model_dir)
    card = {
        "version": version,
        "parent_version": loaded.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": medvlsam2.__version__,
        "published": not refused,
        "refused": refused,
        "metrics": metrics,
        hold_out.KEY: hold_out.record(before, after),
        "data_sha256": scans.data_sha256,
        "run": run.name,
    }
    checkpoint.publish(model_dir, version, tensors, card, use=not refused)
    logger.info(
        "version %s: hold-out Dice %.3f -> %.3f, %s",
        version,
        metrics["hold_out_dice_before"],
        metrics["hold_out_dice_after"],
        "published" if not refused else f"refused: {'; '.join(refused)}",
    )
    return PublishedVersion(version, not refused, metrics, tuple(refused))


def _fit(
    loaded: LoadedModel,
    scans: FinetuningScans,
    config: FinetuneConfig,
    *,
    run: Path,
    device: str,
    progress: EpochDone | None,
) -> list[float]:
    """Train, and return the mean loss of each epoch."""
    steps_per_epoch = config.steps_per_scan * len(scans.train)
    told = steps.train_config(
        loaded.config.model_id,
        steps=config.epochs * steps_per_epoch,
        learning_rate=config.learning_rate,
        seed=config.seed,
        # Beside a CPU the training's own process draws samples; beside a GPU one process draws them meanwhile.
        num_workers=0 if device == "cpu" else 1,
    )
    source = Source(
        loaded.tokenizer,
        scans.train,
        told,
        loaded.config.sam2,
        loaded.config.language.max_position_embeddings,
    )

    def report(line: Line) -> None:
        if progress is not None:
            progress(line.step // steps_per_epoch, config.epochs, line.losses["loss"])

    try:
        run_stages(
            loaded.model,
            source,
            [steps.plan(source, scans, steps_per_epoch=steps_per_epoch)],
            run=run,
            report=report,
            device=torch.device(device),
        )
    except InvalidConfig:  # a checkpoint of such a run is of no use to the next one
        shutil.rmtree(run)
        raise
    lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["losses"]["loss"] for line in lines]


def _refused(tensors: dict[str, Tensor], after: Scores, known: Sequence[Measured], sizes: Sizes) -> list[str]:
    """Why a candidate is not published; empty where it is."""
    if not all(bool(tensor.half().isfinite().all()) for tensor in tensors.values()):
        return [NOT_FINITE]
    return [fall.sentence() for fall in falls(after, known, sizes)]


def _run_name(model_dir: Path, version: str, scans: FinetuningScans, config: FinetuneConfig) -> str:
    """Tells runs apart: one goes on only from a checkpoint of the same labels, options, weights and code."""
    weights = (model_dir / version_folders.WEIGHTS).stat()
    parts: dict[str, Any] = {
        "model": model_dir.name,
        "weights": [weights.st_size, weights.st_mtime_ns],
        "version": version,
        "data": scans.data_sha256,
        "options": asdict(config),
        "code": code_version(),
    }
    return _RUN_PREFIX + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _found_already(model_dir: Path, run: Path) -> PublishedVersion | None:
    """The version of a run that was ended after it had written it, and before it could tidy up; None of all others."""
    if not run.is_dir():
        return None
    for version in version_folders.versions(model_dir):
        path = version_folders.version_folder(model_dir, version) / version_folders.METADATA
        card = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if card.get("run") == run.name:
            if card["published"]:
                version_folders.set_current(model_dir, version)
            return PublishedVersion(version, card["published"], card["metrics"], tuple(card["refused"]))
    return None


def _next_version(model_dir: Path) -> str:
    numbers = [int(name[1:]) for name in version_folders.versions(model_dir) if name != version_folders.BASE_VERSION]
    return f"v{max(numbers, default=0) + 1:04d}"
