"""The whole evaluation: scan by scan, all tasks on a scan while its features are in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from medvlsam2.evaluation.config import EvaluationConfig, Task
from medvlsam2.evaluation.interactive import measure_interactive
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.questions import measure_questions
from medvlsam2.evaluation.referring import measure_referring
from medvlsam2.evaluation.reports import measure_reports
from medvlsam2.evaluation.scans import (
    FIRST_PHANTOM_SEED,
    LabelledScan,
    chosen,
    draw_phantom,
    list_scans,
    read_scan,
)
from medvlsam2.evaluation.texts import TextPair, text_measurements
from medvlsam2.evaluation.words import measure_words
from medvlsam2.tasks.engine import Engine

Progress = Callable[[float, str], None]
Measure = Callable[[Engine, LabelledScan], Iterable[Measurement | TextPair]]

MEASURES: Final[Mapping[Task, Measure]] = {
    "segment": measure_words,
    "interactive": measure_interactive,
    "referring": measure_referring,
    "report": measure_reports,
    "vqa": measure_questions,
}


@dataclass(frozen=True)
class Evaluation:
    """All that was measured."""

    measurements: tuple[Measurement, ...]
    texts: tuple[TextPair, ...]
    """Texts that the model wrote, with those that were right."""
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
    found: list[Measurement | TextPair] = []
    seconds: dict[str, float] = defaultdict(float)
    for number, (name, load) in enumerate(loaders):
        tell(number / len(loaders), name)
        start = time.perf_counter()
        scan = load()
        seconds["reading"] += time.perf_counter() - start
        for task in config.tasks:
            start = time.perf_counter()
            found += MEASURES[task](engine, scan)
            seconds[task] += time.perf_counter() - start
    start = time.perf_counter()
    pairs = [item for item in found if isinstance(item, TextPair)]
    measured = [item for item in found if isinstance(item, Measurement)]
    for key in dict.fromkeys((pair.task, pair.group) for pair in pairs):
        measured += text_measurements([pair for pair in pairs if (pair.task, pair.group) == key])
    seconds["text metrics"] += time.perf_counter() - start
    tell(1.0, "done")
    return Evaluation(tuple(measured), tuple(pairs), dict(seconds))


def _loaders(config: EvaluationConfig) -> list[tuple[str, Callable[[], LabelledScan]]]:
    """Scans to look at by name, each to be read when its turn comes."""
    found: list[tuple[str, Callable[[], LabelledScan]]] = []
    if config.data is not None:
        for record in chosen(list_scans(config.data, config.split), config.groups, config.limit):
            found.append((record.case_id, partial(read_scan, record)))
    for seed in range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + config.phantoms):
        found.append((f"phantom {seed}", partial(draw_phantom, seed)))
    return found
