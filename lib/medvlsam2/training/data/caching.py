"""Labelled scans, and new ones made of them, cached by several processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from medvlsam2.config import ModelConfig
from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.synthesis import SynthesisConfig
from medvlsam2.training.data.case_files import cache_record, cache_synthetic


def allot(records: Sequence[ScanRecord], count: int) -> list[int]:
    """How many new scans to make of each scan, so that rare structures are seen as often as others.

    Args:
        records: labelled scans.
        count: new scans in all.
    """
    keys = [_keys(record) for record in records]
    scans_of = Counter(key for found in keys for key in found)
    shares = np.array([sum(1.0 / scans_of[key] for key in found) for found in keys])
    if not shares.sum():
        return [0] * len(records)
    exact = count * shares / shares.sum()
    numbers = np.floor(exact).astype(int)
    numbers[np.argsort(numbers - exact, kind="stable")[: count - numbers.sum()]] += 1
    return numbers.tolist()


def cache_scans(
    records: Sequence[ScanRecord],
    cache: Path,
    config: ModelConfig,
    *,
    synthetic: int,
    workers: int,
    synthesis: SynthesisConfig | None = None,
) -> list[Path]:
    """Cache scans, and new scans made of them; a case that is cached already is not made again.

    Args:
        records: labelled scans.
        cache: folder of all cached cases.
        config: the model, for its grid sizes.
        synthetic: new scans in all.
        workers: processes.
        synthesis: how far new scans go from their source.
    """
    with ProcessPoolExecutor(max_workers=workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        pending: list[Future[Path]] = [pool.submit(cache_record, record, cache, config) for record in records]
        for record, number in zip(records, allot(records, synthetic), strict=True):
            pending += [pool.submit(cache_synthetic, record, seed, cache, config, synthesis) for seed in range(number)]
        return [future.result() for future in pending]


def _keys(record: ScanRecord) -> set[str]:
    """Vocabulary keys that a scan's labels may have."""
    return {found.key for name in record.known_names.values() if (found := vocabulary.lookup(name)) is not None}
