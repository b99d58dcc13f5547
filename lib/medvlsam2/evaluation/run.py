"""The whole evaluation: scan by scan, all tasks on a scan while its features are in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from medvlsam2.evaluation.config import EvaluationConfig, Task, chosen_cases
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.scans import FIRST_PHANTOM_SEED, LabelledScan, case_ids, draw_phantom, read_scan
from medvlsam2.evaluation.words import measure_words
from medvlsam2.tasks.engine import Engine

Progress = Callable[[float, str], None]
Measure = Callable[[Engine, LabelledScan], Iterable[Measurement]]

MEASURES: Final[Mapping[Task, Measure]] = {"segment": measure_words}


@dataclass(frozen=True)
class Evaluation:
    """All that was measured."""

    measurements: tuple[Measurement, ...]
    seconds: dict[str, float]
    """Time spent on reading scans and on each task."""


def evaluate(engine: Engine, config: EvaluationConfig, progress: Progress | None = None) -> Evaluation:
    """Measure a model; the same model, data and device give the same numbers.

    Args:
        engine: the model.
        config: which scans and tasks.
        progress: called with the share of work done, 0..1, and the scan that is looked at.

    Raises:
        DatasetError, InvalidRequest: if the data folder or a wanted source is not there.
    """
    tell = progress or (lambda _share, _what: None)
    loaders = _loaders(config)
    found: list[Measurement] = []
    seconds: dict[str, float] = defaultdict(float)
    for number, (name, load) in enumerate(loaders):
        tell(number / len(loaders), name)
        start = time.perf_counter()
        scan = load()
        seconds["reading"] += time.perf_counter() - start
        for task in (task for task in config.tasks if task in MEASURES):
            start = time.perf_counter()
            found += MEASURES[task](engine, scan)
            seconds[task] += time.perf_counter() - start
    tell(1.0, "done")
    return Evaluation(tuple(found), dict(seconds))


def _loaders(config: EvaluationConfig) -> list[tuple[str, Callable[[], LabelledScan]]]:
    return [*_real(config), *_phantoms(config)]


def _real(config: EvaluationConfig) -> Iterator[tuple[str, Callable[[], LabelledScan]]]:
    if config.data is None:
        return
    data = config.data
    for case_id in chosen_cases(case_ids(data, config.split), config.groups, config.limit):
        yield case_id, partial(read_scan, data, case_id)


def _phantoms(config: EvaluationConfig) -> Iterator[tuple[str, Callable[[], LabelledScan]]]:
    for seed in range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + config.phantoms):
        yield f"phantom {seed}", partial(draw_phantom, seed)
