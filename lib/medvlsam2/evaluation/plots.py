"""Pictures of an evaluation: Dice of each structure, and how it grows from the box through five clicks.

Drawn without pyplot, so that nothing global is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medvlsam2.data import vocabulary
from medvlsam2.evaluation.measurement import ALL, MEAN, Row
from medvlsam2.evaluation.measures import interactive, words

STRUCTURES_FILE: Final = "structures.png"
CURVE_FILE: Final = "interactive.png"
_WIDTH_IN: Final = 8.0
_ROW_IN: Final = 0.24
_HEAD_IN: Final = 1.0
_DPI: Final = 110
_BAR: Final = "#4477aa"
_ALL_BAR: Final = "#223355"


def write_plots(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Draw what was measured; returns the files.

    Args:
        folder: where to.
        rows: the figures.
    """
    files = []
    bars = [row for row in rows if row.task == words.TASK and row.metric == "dice" and row.subject != ALL]
    if bars:
        files.append(_draw_structures(folder / STRUCTURES_FILE, bars))
    clicks = [row for row in rows if row.task == interactive.TASK]
    curve = [row for row in clicks if row.subject == ALL or _is_only(row, clicks)]
    if curve:
        files.append(_draw_curve(folder / CURVE_FILE, curve))
    return files


def _is_only(row: Row, rows: Sequence[Row]) -> bool:
    """Whether a row is the only one of its group and metric: then there is no row over all subjects."""
    return sum((each.group, each.metric) == (row.group, row.metric) for each in rows) == 1


def _draw_structures(path: Path, rows: Sequence[Row]) -> Path:
    groups = list(dict.fromkeys(row.group for row in rows))
    ordered = sorted(rows, key=lambda row: (row.subject == MEAN, row.mean))
    by_group = [[row for row in ordered if row.group == group] for group in groups]
    heights = [max(2, len(part)) * _ROW_IN + _HEAD_IN for part in by_group]
    figure = Figure(figsize=(_WIDTH_IN, sum(heights)), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, group, part in zip(axes, groups, by_group, strict=True):
        _draw_bars(axis, group, part)
    return _save(figure, path)


def _draw_bars(axis: Axes, group: str, rows: Sequence[Row]) -> None:
    means = np.array([row.mean for row in rows])
    ends = np.array([[row.mean if end is None else end for end in (row.low, row.high)] for row in rows])
    errors = np.clip(np.abs(ends - means[:, None]).T, 0, None)
    colours = [_ALL_BAR if row.subject == MEAN else _BAR for row in rows]
    axis.barh(range(len(rows)), means, xerr=errors, color=colours, ecolor="black", capsize=2, height=0.7)
    axis.set_yticks(range(len(rows)), [f"{_name(row.subject)} ({row.n})" for row in rows], fontsize=8)
    for place, row in enumerate(rows):
        axis.text(1.01, place, f"{row.mean:.2f}", va="center", fontsize=8)
    axis.set(xlim=(0, 1), title=f"{group}: Dice, words alone (n; bar: 95 % over patients)")
    axis.grid(axis="x", alpha=0.3)


def _draw_curve(path: Path, rows: Sequence[Row]) -> Path:
    figure = Figure(figsize=(_WIDTH_IN * 0.75, 4.2), dpi=_DPI, layout="constrained")
    axis = figure.subplots()
    steps = [interactive.when(number) for number in range(interactive.NUM_CLICKS + 1)]
    for group in dict.fromkeys(row.group for row in rows):
        found = {row.metric: row for row in rows if row.group == group}
        curve = [found[f"dice after {step}"] for step in steps]
        means = [row.mean for row in curve]
        (line,) = axis.plot(steps, means, marker="o", label=f"{group} (n = {curve[0].n})")
        low = [row.mean if row.low is None else row.low for row in curve]
        high = [row.mean if row.high is None else row.high for row in curve]
        axis.fill_between(range(len(steps)), low, high, color=line.get_color(), alpha=0.15)
    axis.set(ylim=(0, 1), ylabel="Dice", title="Box, then clicks in the largest error (band: 95 % over patients)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
    return _save(figure, path)


def _name(subject: str) -> str:
    known = vocabulary.STRUCTURES.get(subject)
    return subject if known is None else known.name


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.savefig(path)
    return path
