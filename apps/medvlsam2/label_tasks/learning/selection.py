"""Which scan to label next: the one that the model is least sure of, or any.

The host calls a strategy inside a request, so it must answer fast: at most ``candidates`` scans are read and
scored per call, the others keep the score that was stored for their content and the model's version.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from label_tasks.failures import errors_as_http
from label_tasks.images import refresh
from label_tasks.infer.base import ScanReader
from label_tasks.learning.score_book import ScoreBook
from label_tasks.logs.short_ids import anonymous
from label_tasks.pacs.datastore import PacsDatastore
from medvlsam2.errors import StorageFull, UnknownImage, UnreadableVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.uncertainty import uncertainty

logger = logging.getLogger(__name__)

RECENT_S: Final = 600
"""A scan offered within this time is offered again only when there is no other."""


class ValueStrategy(Strategy):  # type: ignore[misc]
    """The unlabelled scan that the model is least sure of, among those that it has looked at so far."""

    def __init__(self, engine: Engine, scans: ScanReader, candidates: int, book_path: Path) -> None:
        super().__init__("The unlabelled scan that the model is least sure of")
        self._engine = engine
        self._scans = scans
        self._candidates = candidates
        self._book_path = book_path

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Name a scan, or none when all are labelled."""
        waiting = _waiting(datastore)
        with errors_as_http():
            self._engine.loaded()
            scores = self._scores(waiting, datastore)
        if not scores:
            return None
        fresh = _not_offered_lately(sorted(scores), request.get("strategy", "random"), datastore)
        best = max(fresh, key=lambda image_id: scores[image_id])
        return {
            "id": best,
            "uncertainty": round(scores[best], 4),
            "scored": len(scores),
            "unlabelled": len(waiting),
            "model_version": self._engine.version,
        }

    def _scores(self, waiting: list[str], datastore: Datastore) -> dict[str, float]:
        book = ScoreBook.open(self._book_path)
        version = f"{self._engine.model_id}/{self._engine.version}"
        unseen = [image_id for image_id in waiting if image_id not in book.contents]
        scores: dict[str, float] = {}
        stale: list[str] = []
        for image_id in set(waiting) - set(unseen):
            score = book.known(image_id, _path_here(datastore, image_id), version)
            if score is None:
                stale.append(image_id)
            else:
                scores[image_id] = score
        chosen = random.sample(unseen, len(unseen)) + random.sample(sorted(stale), len(stale))
        for image_id in chosen[: self._candidates]:
            score = self._score(image_id, datastore)
            if score is not None:
                book.add(image_id, Path(datastore.get_image_uri(image_id)), version, score)
                scores[image_id] = score
        try:
            book.save()
        except StorageFull as error:  # the scores are known now, and are computed again another time
            logger.warning("Scores are not kept: %s", error)
        return scores

    def _score(self, image_id: str, datastore: Datastore) -> float | None:
        try:
            return uncertainty(self._engine, self._scans(datastore.get_image_uri(image_id), image_id))
        except (UnreadableVolume, UnknownImage) as error:
            logger.warning("Not offered for labelling: %s", anonymous(str(error), image_id))
            return None


def _path_here(datastore: Datastore, image_id: str) -> Path | None:
    """Path of a scan; None where it would have to come from the PACS first."""
    if isinstance(datastore, PacsDatastore):
        return datastore.path_if_here(image_id)
    return Path(datastore.get_image_uri(image_id))


class UniformRandom(Strategy):  # type: ignore[misc]
    """Any unlabelled scan, each with the same chance."""

    def __init__(self) -> None:
        super().__init__("Any unlabelled scan, each with the same chance")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Name a scan, or none when all are labelled."""
        waiting = _waiting(datastore)
        return {"id": random.choice(waiting), "unlabelled": len(waiting)} if waiting else None


def _waiting(datastore: Datastore) -> list[str]:
    refresh(datastore)
    return sorted(datastore.get_unlabeled_images())


def _not_offered_lately(image_ids: list[str], strategy: str, datastore: Datastore) -> list[str]:
    """Those that nobody was given a moment ago, so that two annotators do not work on the same scan."""
    now_s = time.time()
    free = [
        image_id
        for image_id in image_ids
        if now_s - datastore.get_image_info(image_id).get("strategy", {}).get(strategy, {}).get("ts", 0) > RECENT_S
    ]
    return free or image_ids
