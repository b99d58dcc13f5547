"""The whole evaluation: scan by scan, with all tasks on a scan while its features are in memory.

Several processes may share the scans, each with one thread and its own copy of the model: on a CPU this is faster than
one process with all threads.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import torch

from medvlsam2.data.datasets.scans import labelled_scans, of_sources
from medvlsam2.evaluation.config import EvaluationConfig, Task
from medvlsam2.evaluation.hand_written.reading import phantom_seed, scans_asked_about
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.hand_phrases import measure_hand_phrases
from medvlsam2.evaluation.measures.hand_questions import measure_hand_questions
from medvlsam2.evaluation.measures.interactive import measure_interactive
from medvlsam2.evaluation.measures.queries import measure_queries
from medvlsam2.evaluation.measures.questions import measure_questions
from medvlsam2.evaluation.measures.referring import measure_referring
from medvlsam2.evaluation.measures.reports import measure_reports
from medvlsam2.evaluation.measures.words import measure_words
from medvlsam2.evaluation.scans import (
    FIRST_PHANTOM_SEED,
    LabelledScan,
    draw_phantom,
    read_scan,
)
from medvlsam2.evaluation.texts import TextPair, text_measurements
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.writing import writes_queries

Progress = Callable[[float, str], None]
Measure = Callable[[Engine, LabelledScan], Iterable[Measurement | TextPair]]
Load = Callable[[], LabelledScan]


def _measure_vqa(engine: Engine, scan: LabelledScan) -> Iterator[Measurement | TextPair]:
    """Questions in words, and queries whose answers are known."""
    yield from measure_questions(engine, scan)
    yield from measure_queries(engine, scan)


def _measure_hand_written(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Questions and phrases that people worded."""
    yield from measure_hand_questions(engine, scan)
    yield from measure_hand_phrases(engine, scan)


MEASURES: Final[Mapping[Task, Measure]] = {
    "segment": measure_words,
    "interactive": measure_interactive,
    "referring": measure_referring,
    "report": measure_reports,
    "vqa": _measure_vqa,
    "handwritten": _measure_hand_written,
}


@dataclass(frozen=True)
class Evaluation:
    """All that was measured."""

    measurements: tuple[Measurement, ...]
    texts: tuple[TextPair, ...]
    """Texts that the model wrote, with those that were right."""
    seconds: dict[str, float]
    """Time spent on reading scans and on each task, all processes together."""


@dataclass(frozen=True)
class _Job:
    """One scan to look at."""

    name: str
    load: Load
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class _ScanResult:
    """All that was measured on one scan."""

    name: str
    found: tuple[Measurement | TextPair, ...]
    seconds: dict[str, float]


def evaluate(
    engine: Engine, config: EvaluationConfig, *, workers: int = 1, progress: Progress | None = None
) -> Evaluation:
    """Measure a model; the same model, data, device and number of threads give the same numbers.

    Args:
        engine: the model.
        config: which scans and tasks.
        workers: processes; with one, the engine itself is used, with all threads.
        progress: called with the share of work done, 0..1, and the scan that was looked at.

    Raises:
        DatasetError, InvalidRequest: if the data folder or a wanted source is not there, or the model can do none of
            the tasks.
    """
    tell = progress or (lambda _share, _what: None)
    jobs = _jobs(config if writes_queries(engine) else _without_queries(config))
    found: list[Measurement | TextPair] = []
    seconds: Counter[str] = Counter()
    for number, result in enumerate(_results(engine, jobs, workers), start=1):
        found += result.found
        seconds.update(result.seconds)
        tell(number / len(jobs), result.name)
    start = time.perf_counter()
    pairs = [item for item in found if isinstance(item, TextPair)]
    measured = [item for item in found if isinstance(item, Measurement)]
    for key in dict.fromkeys((pair.task, pair.group) for pair in pairs):
        measured += text_measurements([pair for pair in pairs if (pair.task, pair.group) == key])
    return Evaluation(tuple(measured), tuple(pairs), {**seconds, "text metrics": time.perf_counter() - start})


def _results(engine: Engine, jobs: Sequence[_Job], workers: int) -> Iterator[_ScanResult]:
    """Results in the order of the jobs."""
    if workers == 1:
        yield from (_run_tasks(engine, job) for job in jobs)
        return
    measure = partial(_measure_in_worker, engine.model_dir, engine.device)
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(measure, jobs)


def _run_tasks(engine: Engine, job: _Job) -> _ScanResult:
    start = time.perf_counter()
    scan = job.load()
    seconds = {"reading": time.perf_counter() - start}
    found: list[Measurement | TextPair] = []
    for task in job.tasks:
        start = time.perf_counter()
        found += MEASURES[task](engine, scan)
        seconds[task] = time.perf_counter() - start
    return _ScanResult(job.name, tuple(found), seconds)


def _measure_in_worker(model_dir: Path, device: str, job: _Job) -> _ScanResult:
    return _run_tasks(_worker_engine(model_dir, device), job)


@cache
def _worker_engine(model_dir: Path, device: str) -> Engine:
    return Engine(model_dir, device)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _without_queries(config: EvaluationConfig) -> EvaluationConfig:
    """What is left for a model that writes no queries: it cannot read the hand-written sets."""
    return replace(config, tasks=tuple(task for task in config.tasks if task != "handwritten"))


def _jobs(config: EvaluationConfig) -> list[_Job]:
    """Scans to look at by name, each to be read when its turn comes.

    The hand-written sets ask about some of them, and about phantoms of their own.
    """
    found: list[tuple[str, Load]] = []
    if config.data is not None:
        labelled = labelled_scans(config.data, config.split, with_pseudo_labels=True)
        for record in of_sources(labelled, config.groups, config.limit):
            found.append((record.case_id, partial(read_scan, record)))
    for seed in range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + config.phantoms):
        found.append((f"phantom {seed}", partial(draw_phantom, seed)))
    asked = scans_asked_about() if "handwritten" in config.tasks else {}
    others = tuple(task for task in config.tasks if task != "handwritten")
    jobs = [_Job(name, load, config.tasks if name in asked else others) for name, load in found]
    listed = {name for name, _ in found}
    more = [(name, own) for name in asked if name not in listed and (own := phantom_seed(name)) is not None]
    jobs += [_Job(name, partial(draw_phantom, own), ("handwritten",)) for name, own in more]
    return [job for job in jobs if job.tasks]
