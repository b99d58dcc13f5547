"""The losses of a run as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS: Final = 3
PANEL_INCHES: Final = (4.6, 2.8)
STAGE_COLOURS: Final = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3")
WINDOW: Final = 15
"""Lines over which the bold curve is averaged."""


def draw_losses(lines: Sequence[dict[str, Any]], validations: Sequence[dict[str, Any]], path: Path) -> None:
    """One panel for each kind of step and part of the loss, one for the scores; colours are stages.

    Args:
        lines: of the run's ``metrics.jsonl``, at least one.
        validations: of its ``validations.jsonl``.
        path: PNG to write.
    """
    names = sorted({name for line in lines for name in line["losses"]}, key=lambda name: (name != "loss", name))
    panels = len(names) + bool(validations)
    rows = -(-panels // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1]), layout="constrained")
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for name, axis in zip(names, axes, strict=False):
        _draw_term(axis, name, [line for line in lines if name in line["losses"]])
    if validations:
        _draw_scores(axes[len(names)], validations)
    for axis in axes[panels:]:
        axis.set_axis_off()
    figure.savefig(path, dpi=80, format="png")


def _draw_term(axis: Axes, name: str, lines: Sequence[dict[str, Any]]) -> None:
    for stage in sorted({line["stage"] for line in lines}):
        colour = STAGE_COLOURS[stage]
        steps = np.array([line["step"] for line in lines if line["stage"] == stage])
        values = np.array([line["losses"][name] for line in lines if line["stage"] == stage], dtype=float)
        axis.plot(steps, values, color=colour, alpha=0.3, linewidth=0.8, marker="." if len(steps) == 1 else None)
        axis.plot(steps, _smooth(values), color=colour, linewidth=1.6, label=f"stage {stage}")
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)


def _draw_scores(axis: Axes, validations: Sequence[dict[str, Any]]) -> None:
    axis.plot([item["step"] for item in validations], [item["score"] for item in validations], "k.-", linewidth=1.2)
    best = max(validations, key=lambda item: item["score"])
    axis.plot(best["step"], best["score"], "*", color="#c44e52", markersize=11, label=f"best {best['score']:.3f}")
    axis.set_title("validation", fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean of each value and up to 14 before it."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - WINDOW)
    return (total[ends] - total[starts]) / (ends - starts)
