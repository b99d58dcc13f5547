"""``medvlsam2 evaluate``: how well a model does, in figures with intervals."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2 import __version__
from medvlsam2.cli import console, values
from medvlsam2.cli.data_option import add_data, data_set
from medvlsam2.cli.verb import Verb, add_json, add_model, add_overwrite
from medvlsam2.errors import InvalidConfig
from medvlsam2.evaluation.config import TASKS, EvaluationConfig, parse_tasks
from medvlsam2.model.registry import resolve_model

if TYPE_CHECKING:
    from medvlsam2.evaluation.measurement import Row
    from medvlsam2.tasks.engine.engine import Engine

MAX_WORKERS: Final = 4
"""Processes by default at most: each holds the model and a scan's features, 2 to 3 GB."""
LINE_EVERY_S: Final = 30.0
"""Without a terminal, one line of progress at most this often."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_data(parser)
    parser.add_argument("--split", default="val", help="split of the real scans")
    parser.add_argument("--tasks", default="all", help=f"all, or a list of {', '.join(TASKS)}")
    parser.add_argument("--phantoms", type=int, default=12, help="phantoms to look at; none was trained on")
    parser.add_argument("--groups", default="", help="sources of real scans, e.g. OKBP,TS (default: all)")
    parser.add_argument("--limit", type=int, metavar="N", help="real scans of each source, for a quick look")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for JSON, table and plots")
    parser.add_argument("--workers", type=int, help="processes that share the scans (default: one a core; 1 on a GPU)")
    add_overwrite(parser)
    add_json(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Evaluate a model."""
    config = EvaluationConfig(
        data=data_set(arguments),
        split=arguments.split,
        tasks=parse_tasks(arguments.tasks),
        phantoms=arguments.phantoms,
        groups=tuple(filter(None, arguments.groups.split(","))),
        limit=arguments.limit,
    )
    if arguments.workers is not None and arguments.workers < 1:
        raise InvalidConfig(f"--workers {arguments.workers} given; at least 1 is needed.")
    model_dir = resolve_model(arguments.model)

    from medvlsam2.evaluation import measurement
    from medvlsam2.evaluation import output as files

    output = values.output_folder(arguments.output, "--output", names=files.FILES, overwrite=arguments.overwrite)

    from medvlsam2.evaluation.run import evaluate
    from medvlsam2.tasks.engine.engine import Engine

    engine = Engine(model_dir, arguments.device)
    workers = arguments.workers or (min(MAX_WORKERS, os.cpu_count() or 1) if engine.device == "cpu" else 1)
    start = time.perf_counter()
    with _progress() as tell:
        found = evaluate(engine, config, workers=workers, progress=tell)
    rows = measurement.rows(found.measurements)
    record = _run_record(engine, config, workers, {**found.seconds, "total": time.perf_counter() - start})
    files.write(output, record, rows, found)
    if arguments.json:
        console.show_json({"output": str(output), "run": record, "rows": len(rows)})
        return 0
    _show(rows)
    console.show_text(f"written: {output}")
    console.show_notice(f"{engine.model_id} {engine.version}", f"{record['seconds']['total']:.0f} s")
    return 0


VERB = Verb(add_arguments, run)


def _run_record(engine: Engine, config: EvaluationConfig, workers: int, seconds: dict[str, float]) -> dict[str, Any]:
    import torch

    from medvlsam2.evaluation.measurement import BOOTSTRAP_SEED, RESAMPLES
    from medvlsam2.evaluation.scans import FIRST_PHANTOM_SEED

    return {
        "model_id": engine.model_id,
        "version": engine.version,
        "code_version": __version__,
        "device": engine.device,
        "processes": workers,
        "threads": torch.get_num_threads() if workers == 1 else 1,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "split": config.split if config.data else None,
        "tasks": list(config.tasks),
        "groups": list(config.groups),
        "limit": config.limit,
        "phantom_seeds": [FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + config.phantoms],
        "bootstrap": {"seed": BOOTSTRAP_SEED, "resamples": RESAMPLES, "over": "patients"},
    }


def _show(rows: list[Row]) -> None:
    """Only what sums up: the whole table is in the folder."""
    from medvlsam2.evaluation.measurement import ALL, MEAN

    cells = []
    for row in rows:
        if row.subject in (ALL, MEAN):
            interval = "" if row.low is None or row.high is None else f"{row.low:.3f} – {row.high:.3f}"
            cells.append((row.task, row.group, row.subject, row.metric, str(row.n), f"{row.mean:.3f}", interval))
    console.show_table(("task", "scans", "what", "metric", "n", "mean", "95 %"), cells)


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar in a terminal; elsewhere a line now and then."""
    spoken_s = -LINE_EVERY_S
    stderr = console.stderr()
    with console.bar("Evaluating") as bar:

        def tell(share: float, what: str) -> None:
            nonlocal spoken_s
            bar(share)
            now_s = time.monotonic()
            if not stderr.is_terminal and now_s - spoken_s >= LINE_EVERY_S:
                spoken_s = now_s
                stderr.print(f"{share:4.0%} {what}", markup=False)

        yield tell
