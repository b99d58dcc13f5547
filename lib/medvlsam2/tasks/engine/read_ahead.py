"""Encodes the other slices of the scan in use in the background, while no request runs.

A click waits for at most one batch of slices. The thread ends when all slices are encoded or memory is full: reading
features back from the disk is not much faster than encoding the slices again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from medvlsam2.tasks.features.feature_store import FeatureStore
from medvlsam2.tasks.scheduling.claims import Requests

logger = logging.getLogger(__name__)


class ReadAhead:
    """Fills feature stores in the background, the one that was wanted last first.

    Args:
        lease: a lease on the device.
        requests: while any request runs, nothing is encoded.
    """

    def __init__(self, lease: Callable[[], AbstractContextManager[None]], requests: Requests) -> None:
        self._lease = lease
        self._requests = requests
        self._guard = threading.Lock()
        self._wanted: list[FeatureStore] = []
        self._thread: threading.Thread | None = None

    def want(self, store: FeatureStore) -> None:
        """Fill this store next."""
        with self._guard:
            self._wanted = [one for one in self._wanted if one is not store] + [store]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (store := self._next()) is not None:
            self._requests.wait_for_none()
            try:
                with self._lease():
                    more = store.make_more()
            except ReferenceError:
                logger.debug("the scan is no longer open")
                more = False
            except Exception:
                logger.exception("reading ahead ended")
                more = False
            if not more:
                self._done(store)

    def _next(self) -> FeatureStore | None:
        with self._guard:
            if not self._wanted:
                self._thread = None
                return None
            return self._wanted[-1]

    def _done(self, store: FeatureStore) -> None:
        with self._guard:
            self._wanted = [one for one in self._wanted if one is not store]
