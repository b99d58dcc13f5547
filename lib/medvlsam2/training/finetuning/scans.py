"""The scans of one fine-tuning: submitted ones to train on, phantoms to replay, and a hold-out that stays.

A patient is held out or not by a hash of the patient's id, so the hold-out stays the same while labels arrive. Two
fixed phantoms are part of it from the first label on. Other phantoms are replayed, so that what was known is not
forgotten.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medvlsam2.config import ModelConfig
from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.errors import DatasetError, MedVLSAM2Error
from medvlsam2.training.data.case_files import cache_labelled, cache_phantom
from medvlsam2.training.data.cases import Case, load_case
from medvlsam2.training.finetuning.hold_out import scan_key

logger = logging.getLogger(__name__)

HELD_OUT_IN: Final = 5
"""One patient in so many is held out."""
HOLD_OUT_PHANTOMS: Final = (900_001, 900_002)
"""Seeds that no training draws: they begin at 1,000, those of its validation at 800,000."""
REPLAY_PHANTOMS: Final = (910_001, 910_002, 910_003, 910_004)


@dataclass(frozen=True)
class FinetuningScans:
    """Cached scans of one run."""

    train: list[Case]
    replay: list[Case]
    held_out: list[Case]
    """Submitted scans of held-out patients, then the phantoms."""
    data_sha256: str
    """Of everything that is trained on or held out."""
    left_out: tuple[str, ...]
    """A sentence for each submitted label that could not be used."""

    @property
    def num_submitted_held_out(self) -> int:
        """Submitted scans that are held out."""
        return len(self.held_out) - len(HOLD_OUT_PHANTOMS)

    @classmethod
    def prepare(cls, labels: Sequence[FinalLabel], cache: Path, config: ModelConfig) -> FinetuningScans:
        """Cache scans and phantoms, and split by patient. What is in the cache already is not made again.

        Raises:
            DatasetError: if there is nothing to train on.
        """
        train: list[Case] = []
        held_out: list[Case] = []
        left_out: list[str] = []
        for label in sorted(labels, key=lambda item: str(item.image_path)):
            try:
                case = _cached(label, cache, config)
            except MedVLSAM2Error as error:
                logger.warning("a submitted label is left out (%s)", type(error).__name__)
                left_out.append(str(error))
                continue
            (held_out if is_held_out(label.patient_id) else train).append(case)
        if not train and held_out:
            logger.warning("all %d submitted scans are of held-out patients; this run trains on them", len(held_out))
            train, held_out = held_out, []
        if not train:
            raise DatasetError(
                f"{len(labels)} submitted scans, none of them to train on. Submit labels with the names of "
                f"known structures. {' '.join(left_out)}".rstrip()
            )
        replay, tested = (
            [load_case(cache_phantom(seed, cache, config)) for seed in seeds]
            for seeds in (REPLAY_PHANTOMS, HOLD_OUT_PHANTOMS)
        )
        digest = hashlib.sha256("".join(map(scan_key, (*train, *replay))).encode())
        digest.update("".join(map(scan_key, (*held_out, *tested))).encode())
        return cls(train, replay, [*held_out, *tested], digest.hexdigest(), tuple(left_out))


def is_held_out(patient_id: str) -> bool:
    """Whether a patient's scans are tested on, for good, and never trained on."""
    return int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % HELD_OUT_IN == 0


def _cached(label: FinalLabel, cache: Path, config: ModelConfig) -> Case:
    volume, found = label.read()
    case = load_case(cache_labelled(volume, found.values, found.names, cache, config, log_name="a submitted scan"))
    if not case.present_keys:
        raise DatasetError(
            f"The label of image '{label.image_id}' holds no structure that the model knows. Give its values names of "
            "known structures and submit it again."
        )
    return case
