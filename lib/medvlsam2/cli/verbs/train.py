"""``medvlsam2 train``: from a preset to a model folder."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import ArgumentParser, Namespace
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from medvlsam2.cli import console, values
from medvlsam2.cli.data_option import add_data, data_set
from medvlsam2.cli.verb import Verb, add_overwrite
from medvlsam2.errors import InvalidConfig
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.interrupt import Stopped

if TYPE_CHECKING:
    from medvlsam2.training.running.run_folder import Line

STAGES: Final = ("language", "projector", "vision and LoRA", "joint with masks", "text tasks and masks")
LINE_EVERY_S: Final = 30.0
"""Without a terminal, one line of progress at most this often."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb: where things go, and every field of TrainConfig."""
    add_data(parser)
    folders = parser.add_argument_group("Folders")
    folders.add_argument("-o", "--output", metavar="DIR", help="model folder to write (default: runs/PRESET/model)")
    folders.add_argument(
        "--run", metavar="DIR", help="logs and checkpoint; it resumes from them (default: runs/PRESET)"
    )
    folders.add_argument("--cache", metavar="DIR", help="prepared scans, kept between runs (default: cache/PRESET)")
    folders.add_argument("--initial", metavar="DIR", help="model folder to start from (default: random weights)")
    folders.add_argument("--teacher", metavar="DIR", help="stage 4: model folder whose masks by words are learnt")
    folders.add_argument("--workers", type=int, default=1, help="processes that draw phantoms")
    add_overwrite(parser)
    parser.add_class_arguments(TrainConfig)


def run(arguments: Namespace) -> int:
    """Train a model."""
    config = TrainConfig(**{field.name: arguments[field.name] for field in fields(TrainConfig)})
    run_dir = Path(arguments.run or f"runs/{config.preset}")
    cache = Path(arguments.cache or f"cache/{config.preset}")
    data = data_set(arguments)
    initial = Path(arguments.initial) if arguments.initial else None
    teacher = Path(arguments.teacher) if arguments.teacher else None
    if arguments.workers < 1:
        raise InvalidConfig(f"--workers {arguments.workers} given; at least 1 is needed.")

    from medvlsam2.model import version_folders
    from medvlsam2.training import train as training_run
    from medvlsam2.training.running.ranks import ranks_here

    output = values.output_folder(
        arguments.output or str(run_dir / "model"),
        "--output",
        names=(version_folders.CONFIG, version_folders.WEIGHTS, version_folders.METADATA),
        overwrite=arguments.overwrite,
        inputs=[path for path in (initial, teacher, data) if path is not None and path.is_dir()],
    )

    is_first = ranks_here().is_first
    try:
        with TrainBar(config, shown=is_first) as bar:
            training_run.train(
                config,
                output=output,
                run=run_dir,
                cache=cache,
                data=data,
                workers=arguments.workers,
                report=bar.update,
                initial=initial,
                teacher=teacher,
            )
    except Stopped as stopped:
        if is_first:
            console.warn([str(stopped)])
        return 128 + stopped.number
    if not is_first:
        return 0
    console.show_text(f"model: {output}")
    console.show_text(f"logs:  {run_dir} (losses.png; tensorboard --logdir {run_dir})")
    console.show_notice()
    return 0


VERB = Verb(add_arguments, run)


class TrainBar:
    """One bar per stage with losses, speed and time left; without a terminal, a line now and then.

    Args:
        config: what is trained.
        shown: whether there is a bar; of processes that train together, the first shows one.
    """

    def __init__(self, config: TrainConfig, *, shown: bool = True) -> None:
        self._config = config
        self._console = console.stderr()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}  {task.fields[losses]}"),
        )
        self._progress = Progress(*columns, console=self._console, disable=not (shown and self._console.is_terminal))
        self._tasks: dict[int, TaskID] = {}
        self._spoken_s = 0.0

    def __enter__(self) -> TrainBar:
        self._progress.start()
        self._task("preparing scans", left="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, line: Line) -> None:
        """Show one line of progress."""
        index = self._config.stages.index(line.stage)
        name = f"stage {line.stage} {STAGES[line.stage]}"
        minutes = self._config.stage_minutes
        left_min = (1 - line.fraction) * minutes[index] + sum(minutes[index + 1 :])
        left = f"{left_min:.0f} min left"
        losses = _words(line)
        if not self._console.is_terminal:
            self._say(f"{name} {line.fraction:4.0%} step {line.step} {left} {losses}")
            return
        if line.stage not in self._tasks:
            for task in self._progress.task_ids:
                self._progress.update(task, total=1.0, completed=1.0, left="")
            self._tasks[line.stage] = self._task(name, left=left)
        self._progress.update(self._tasks[line.stage], completed=line.fraction, left=left, losses=losses)

    def _task(self, name: str, *, left: str) -> TaskID:
        return self._progress.add_task(name, total=1.0, left=left, losses="")

    def _say(self, text: str) -> None:
        if time.monotonic() - self._spoken_s >= LINE_EVERY_S:
            self._spoken_s = time.monotonic()
            self._console.print(text, markup=False)


def _words(line: Line) -> str:
    """Speed, the loss of each kind of step, and scores."""
    kinds = (f"{name.removesuffix('/loss')} {value:.3f}" for name, value in line.losses.items() if "/loss" in name)
    speed = f"{line.steps_per_s:.2f} steps/s {line.samples_per_s:.1f} samples/s busy {line.busy_share:.0%}"
    scores = "" if line.validation is None else f"validation {line.validation:.3f} (best {line.best:.3f})"
    return " ".join(filter(None, (speed, *kinds, scores)))
