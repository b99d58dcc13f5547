"""What annotators corrected makes the model better: a short stage-3 fit, a gate, a new version.

Only LoRA, the [SEG] projector and the mask decoder move. Every other step replays a phantom, so that what was known
is not forgotten. A patient is held out or not by a hash of the patient's id, so the hold-out stays the same while
labels arrive; two fixed phantoms are part of it from the first label on. A version is published only if its
weights are finite and the hold-out's mean Dice falls by no more than its noise (``TOLERANCE``); either way it is kept
as a folder.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import medvlsam2
from medvlsam2.config import ModelConfig
from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.errors import DatasetError
from medvlsam2.model import checkpoint, version_folders
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.data.case_files import cache_labelled, cache_phantom
from medvlsam2.training.data.cases import Case, load_case
from medvlsam2.training.parts import set_trainable_for_finetuning
from medvlsam2.training.steps.masks import MaskStep, mask_sample
from medvlsam2.training.validate import text_dice

logger = logging.getLogger(__name__)

HELD_OUT_IN = 5
"""One patient in so many is held out."""
HOLD_OUT_PHANTOMS = (900_001, 900_002)
REPLAY_PHANTOMS = (910_001, 910_002, 910_003, 910_004)
TOLERANCE = 0.005
"""The hold-out's mean Dice may fall by this much (its own noise) and the version is still published."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning run."""

    epochs: int = 5
    """Passes over the submitted scans."""
    steps_per_scan: int = 4
    """Steps on each scan in a pass."""
    learning_rate: float = 5e-5
    """AdamW's learning rate; at four times this a few dozen steps undo what the shipped weights know."""
    seed: int = 0
    """Seed of the sampling."""


@dataclass(frozen=True)
class PublishedVersion:
    """What came of a run."""

    version: str
    published: bool
    """Whether it answers from now on; False: the hold-out got worse and the old version stays."""
    metrics: dict[str, float]


EpochDone = Callable[[int, int, float], None]


def finetune(
    model_dir: Path,
    labels: Sequence[FinalLabel],
    config: FinetuneConfig,
    progress: EpochDone | None = None,
) -> PublishedVersion:
    """Fit the model to submitted labels and publish a version.

    Args:
        model_dir: the model's folder; its current version is the start.
        labels: the submitted labels.
        config: how long and how fast.
        progress: called after each epoch with its number, their count and the mean loss.

    Raises:
        DatasetError: if no sample has a structure that the vocabulary knows.
    """
    loaded = checkpoint.load(model_dir)
    with tempfile.TemporaryDirectory(prefix="medvlsam2-finetune-") as folder:
        cases = _Cases.prepare(labels, Path(folder), loaded.config)
        before = _hold_out_dice(loaded, cases.held_out)
        losses = _fit(loaded, cases, config, progress)
        after = _hold_out_dice(loaded, cases.held_out)
    tensors = checkpoint.trainable_tensors(loaded.model)
    finite = all(bool(tensor.half().isfinite().all()) for tensor in tensors.values())
    published = finite and after >= before - TOLERANCE
    version = _next_version(model_dir)
    metrics = {
        "epoch": float(config.epochs),
        "total_epochs": float(config.epochs),
        "best_metric": max(after, before) if not published else after,
        "hold_out_dice_before": before,
        "hold_out_dice_after": after,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "scans_trained": float(len(cases.train)),
        "scans_held_out": float(len(cases.held_out) - len(HOLD_OUT_PHANTOMS)),
    }
    provenance = {
        "version": version,
        "parent_version": loaded.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": medvlsam2.__version__,
        "published": published,
        "metrics": metrics,
        "data_sha256": cases.data_hash,
    }
    checkpoint.publish(model_dir, version, tensors, provenance, use=published)
    logger.info("version %s: hold-out Dice %.3f -> %.3f, published: %s", version, before, after, published)
    return PublishedVersion(version, published, metrics)


@dataclass(frozen=True)
class _Cases:
    """Cached scans of one run."""

    train: list[Case]
    replay: list[Case]
    held_out: list[Case]
    data_hash: str

    @classmethod
    def prepare(cls, labels: Sequence[FinalLabel], cache: Path, config: ModelConfig) -> _Cases:
        """Cache scans and phantoms, split by patient."""
        train: list[Case] = []
        held_out: list[Case] = []
        digest = hashlib.sha256()
        for label in sorted(labels, key=lambda item: str(item.image_path)):
            volume, found = label.read()
            folder = cache_labelled(volume, found.values, found.names, cache, config, log_name="a submitted scan")
            case = load_case(folder)
            digest.update(np.asarray(case.hu).tobytes() + np.asarray(case.labels).tobytes())
            if not case.present_keys:
                logger.warning("a submitted label holds no structure of the vocabulary and is left out")
                continue
            (held_out if _is_held_out(label.patient_id) else train).append(case)
        if not train and held_out:
            logger.warning("all %d submitted scans are of held-out patients; this run trains on them", len(held_out))
            train, held_out = held_out, []
        if not train:
            raise DatasetError(
                f"{len(labels)} submitted scans, none of them to train on. Submit labels with the names of "
                "known structures."
            )
        phantoms = {
            seed: load_case(cache_phantom(seed, cache, config)) for seed in (*HOLD_OUT_PHANTOMS, *REPLAY_PHANTOMS)
        }
        held_out += [phantoms[seed] for seed in HOLD_OUT_PHANTOMS]
        return cls(train, [phantoms[seed] for seed in REPLAY_PHANTOMS], held_out, digest.hexdigest())


def _fit(loaded: LoadedModel, cases: _Cases, config: FinetuneConfig, progress: EpochDone | None) -> list[float]:
    model = loaded.model
    set_trainable_for_finetuning(model)
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate)
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    means = []
    for epoch in range(1, config.epochs + 1):
        losses = []
        for case in cases.train * config.steps_per_scan:
            replayed = cases.replay[int(rng.integers(len(cases.replay)))]
            samples = tuple(
                mask_sample(
                    drawn,
                    rng,
                    num_slices=3,
                    num_objects=3,
                    contiguous=False,
                    sam2=loaded.config.sam2,
                )
                for drawn in (case, replayed)
            )
            result = MaskStep(samples).run(model, loaded.tokenizer, rng)
            optimizer.zero_grad()
            torch.autograd.backward(result.loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(float(result.loss.detach()))
        means.append(float(np.mean(losses)))
        if progress is not None:
            progress(epoch, config.epochs, means[-1])
    model.eval()
    return means


def _hold_out_dice(loaded: LoadedModel, cases: Sequence[Case]) -> float:
    scores = text_dice(loaded.model, loaded.tokenizer, cases)
    return float(np.mean(list(scores.values())))


def _is_held_out(patient_id: str) -> bool:
    return int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % HELD_OUT_IN == 0


def _next_version(model_dir: Path) -> str:
    numbers = [int(name[1:]) for name in version_folders.versions(model_dir) if name != version_folders.BASE_VERSION]
    return f"v{max(numbers, default=0) + 1:04d}"
