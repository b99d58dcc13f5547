"""Fine-tuning on what annotators submitted.

The host runs this in a process of its own, which builds the whole app anew. What is learned, held out and
published is decided in ``medvlsam2.training.finetuning``; the running server takes up a new version by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from label_tasks.jobs.progress import TrainingProgress
from label_tasks.learning.submitted import submitted_labels
from medvlsam2.errors import DatasetError, InvalidRequest
from medvlsam2.training.finetuning.finetune import FinetuneConfig, finetune

logger = logging.getLogger(__name__)

WORK_FOLDER: Final = ".fine-tuning"
"""Beside the scans, since what is prepared of them is a patient's as they are; hidden, so that it is no scan itself."""
DEFAULT_EPOCHS: Final = FinetuneConfig().epochs


class FineTuneTask(TrainTask):  # type: ignore[misc]
    """Fit the adapter, the [SEG] projector and the mask decoder to the submitted labels."""

    def __init__(self, model_dir: Path, stats_path: Path, work: Path, device: str) -> None:
        """Make the task; nothing is read yet.

        Args:
            model_dir: the model's folder.
            stats_path: file that tells how far a run is.
            work: private folder for prepared scans and the checkpoint of a run.
            device: that of the server.
        """
        super().__init__("Fine-tunes on the submitted labels; publishes what is as good as the best on a hold-out")
        self._model_dir = model_dir
        self._work = work
        self._device = device
        self._progress = TrainingProgress(stats_path)

    def config(self) -> dict[str, Any]:
        """Options that the clients show."""
        return {"max_epochs": DEFAULT_EPOCHS}

    def stats(self) -> dict[str, Any]:
        """Progress of the newest run, as the clients' bars read it."""
        return self._progress.told(DEFAULT_EPOCHS)

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train in this process and say what came of it.

        Raises:
            DatasetError: if no submitted label can be used.
            InvalidRequest: on a number of epochs below 1.
            Stopped: after SIGTERM; the next training of the same labels goes on from there.
        """
        labels, left_out = submitted_labels(datastore)
        if not labels:
            raise DatasetError(
                f"0 submitted labels can be used of {len(left_out)} that there are. Submit a corrected "
                "label for at least one scan, with a name for each of its values."
            )
        config = FinetuneConfig(epochs=_epochs(request.get("max_epochs")))
        with self._progress.running(config.epochs):
            published = finetune(
                self._model_dir,
                labels,
                config,
                work=self._work,
                device=self._device,
                progress=self._progress.epoch_done,
            )
            stats = {
                **published.metrics,
                "version": published.version,
                "published": published.published,
                "scans": len(labels),
                "refused": list(published.refused),
                "left_out": [*left_out, *published.left_out],
            }
            self._progress.end(config.epochs, stats)
        return self.stats()


def _epochs(value: Any) -> int:
    if value is None:
        return DEFAULT_EPOCHS
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"max_epochs is {value!r}; give a whole number of at least 1.")
    return value
