"""A picture of a segmentation for people: slices with coloured objects, as radiologists view them.

Three axial slices that together show the objects best, one coronal and one sagittal plane; the patient's right is on
the picture's left. Drawn without pyplot, so that nothing global is touched and threads do not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from medvlsam2 import NOTICE
from medvlsam2.data import vocabulary
from medvlsam2.data.colours import colors_of
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.data.quantities import told
from medvlsam2.data.structures.table import Window
from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import require_same_grid
from medvlsam2.pixel_grid import centre_offsets
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.spatial import SpatialRecord
from medvlsam2.transforms.window import apply_window

AXIAL_SLICES: Final = 3
SHOWN_SHARE: Final = 0.5
"""A slice shows an object if it holds at least this share of the object's largest area."""
LEGEND_ROWS: Final = 18
FILL_OPACITY: Final = 0.35
SIZE_INCH: Final = (13.0, 8.6)
DOTS_PER_INCH: Final = 100
BACKGROUND: Final = "#101216"
TEXT: Final = "#e8e8e8"
DIM: Final = "#8a8f98"
LETTER: Final = "#ffd54a"


def write_overlay(
    path: Path | str,
    volume: CTVolume,
    label_map: Integer[np.ndarray, "i j k"],
    objects: Sequence[ObjectResult],
) -> None:
    """Write the picture as PNG.

    Args:
        path: ends in ``.png``.
        volume: the scan.
        label_map: value n is the n-th object.
        objects: names and volumes for the legend.

    Raises:
        GeometryMismatch: if the label map is not on the scan's grid.
    """
    require_same_grid("The label map", volume.shape_ijk, volume.affine, label_map.shape, volume.affine)
    scene = _Scene.of(volume, label_map, objects)
    figure = Figure(figsize=SIZE_INCH, dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.02, 0.965, volume.image_id, color=TEXT, fontsize=13, weight="bold")
    figure.text(0.98, 0.965, f"MedVL-SAM2 · {NOTICE}", color=TEXT, fontsize=9, ha="right")
    grid = figure.add_gridspec(2, 3, left=0.02, right=0.98, bottom=0.02, top=0.92, wspace=0.04, hspace=0.12)
    panels = [*(scene.axial(d) for d in scene.best_slices()), scene.coronal(), scene.sagittal()]
    for number, panel in enumerate(panels):
        _draw(figure.add_subplot(grid[divmod(number, 3)]), panel, scene.colors_rgb)
    _draw_legend(figure.add_subplot(grid[1, 2]), objects, scene.colors_rgb)
    canvas.print_figure(str(path), format="png", facecolor=BACKGROUND)


def draw_best(
    axial: Axes,
    coronal: Axes,
    volume: CTVolume,
    label_map: Integer[np.ndarray, "i j k"],
    objects: Sequence[ObjectResult],
) -> None:
    """Draw the axial slice and the coronal plane that show most of the objects.

    Args:
        axial: where the slice is drawn.
        coronal: where the plane is drawn.
        volume: the scan.
        label_map: value n is the n-th object.
        objects: that are shown.
    """
    scene = _Scene.of(volume, label_map, objects)
    shares = scene.shares(0).sum(axis=0)
    _draw(axial, scene.axial(int(np.argmax(shares)) if shares.any() else len(shares) // 2), scene.colors_rgb)
    _draw(coronal, scene.coronal(), scene.colors_rgb)


@dataclass(frozen=True, eq=False)
class _Panel:
    """One plane, turned as it is looked at: first row on top."""

    title: str
    hu: Int16[np.ndarray, "rows columns"]
    labels: Integer[np.ndarray, "rows columns"]
    spacing_mm: tuple[float, float]
    window: Window
    ends: tuple[str, str]
    """Letters at its left and right edge."""


@dataclass(frozen=True, eq=False)
class _Scene:
    """Scan and objects on d (feet to head), h (front to back), w (the patient's right to left)."""

    record: SpatialRecord
    hu: Int16[np.ndarray, "d h w"]
    labels: Integer[np.ndarray, "d h w"]
    spacing_dhw_mm: tuple[float, float, float]
    colors_rgb: UInt8[np.ndarray, "n 3"]
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, volume: CTVolume, label_map: Integer[np.ndarray, "i j k"], objects: Sequence[ObjectResult]) -> _Scene:
        """Turn scan and label map, and cut the air round the body off."""
        record = plan(volume, 1)
        top, bottom, left, right = record.crop_hw
        body = (slice(None), slice(max(0, top), bottom), slice(max(0, left), right))
        d, h, w = (volume.spacing_mm[axis] for axis in record.axes)
        return cls(
            record=record,
            hu=record.orient(volume.hu)[body],
            labels=record.orient(label_map)[body],
            spacing_dhw_mm=(d, h, w),
            colors_rgb=np.array(colors_of([item.name for item in objects]), dtype=np.uint8).reshape(-1, 3),
            windows=tuple(_window(item.name) for item in objects),
        )

    def best_slices(self) -> list[int]:
        """Axial slices, from head to feet, that together show the objects best."""
        shares = self.shares(0)
        chosen: list[int] = []
        unseen = np.ones(len(shares), dtype=bool)
        while len(chosen) < min(AXIAL_SLICES, shares.shape[1]):
            gain = shares[unseen].sum(axis=0) if unseen.any() else _distances(shares, chosen)
            best = int(np.argmax(np.where(np.isin(np.arange(len(gain)), chosen), -1.0, gain)))
            chosen.append(best)
            unseen &= shares[:, best] < SHOWN_SHARE
        return sorted(chosen, reverse=True)

    def axial(self, d: int) -> _Panel:
        """A slice seen from the feet."""
        title = f"axial, slice {self.record.source_slice(d)}"
        return self._panel(title, self.hu[d], self.labels[d], self.spacing_dhw_mm[1:], ("R", "L"))

    def coronal(self) -> _Panel:
        """The best plane seen from the front, head on top."""
        h = self._best_plane(1)
        spacing = (self.spacing_dhw_mm[0], self.spacing_dhw_mm[2])
        return self._panel("coronal", self.hu[::-1, h], self.labels[::-1, h], spacing, ("R", "L"))

    def sagittal(self) -> _Panel:
        """The best plane seen from the patient's left, face to the left of the picture."""
        w = self._best_plane(2)
        spacing = (self.spacing_dhw_mm[0], self.spacing_dhw_mm[1])
        return self._panel("sagittal", self.hu[::-1, :, w], self.labels[::-1, :, w], spacing, ("A", "P"))

    def _panel(
        self,
        title: str,
        hu: Int16[np.ndarray, "rows columns"],
        labels: Integer[np.ndarray, "rows columns"],
        spacing_mm: tuple[float, float],
        ends: tuple[str, str],
    ) -> _Panel:
        areas = np.bincount(labels.ravel(), minlength=len(self.windows) + 1)[1:]
        window: Window = self.windows[int(np.argmax(areas))] if areas.any() else "soft"
        return _Panel(f"{title} · {window} window", hu, labels, spacing_mm, window, ends)

    def _best_plane(self, axis: int) -> int:
        total = self.shares(axis).sum(axis=0)
        return int(np.argmax(total)) if total.any() else len(total) // 2

    def shares(self, axis: int) -> Float[np.ndarray, "objects planes"]:
        """Area of each object that is there on each plane, as a share of its largest; no object: no row."""
        planes = self.labels.shape[axis]
        flat = np.moveaxis(self.labels, axis, 0).reshape(planes, -1)
        counts = np.stack([np.bincount(row, minlength=len(self.windows) + 1)[1:] for row in flat], axis=1)
        present = counts[counts.any(axis=1)].astype(np.float64)
        return present / present.max(axis=1, keepdims=True) if len(present) else present


def _distances(shares: Float[np.ndarray, "objects planes"], chosen: list[int]) -> Float[np.ndarray, " planes"]:
    """Among planes that show something, how far each is from the chosen ones and from the ends."""
    planes = np.arange(shares.shape[1])
    total = shares.sum(axis=0)
    shown = total >= 0.3 * total.max() if total.any() else np.ones(len(planes), dtype=bool)
    inside = planes[shown]
    stops = [*chosen, inside[0] - 1, inside[-1] + 1]
    distance = np.abs(planes[:, None] - np.array(stops)).min(axis=1)
    return np.where(shown, distance, 0).astype(np.float64)


def _window(name: str) -> Window:
    """The window in which an object is best seen; soft where its name does not tell."""
    known = vocabulary.lookup(name)
    if known is None:
        known = next((vocabulary.STRUCTURES[key] for key in structures_in(name)), None)
    return known.window if known else "soft"


def _draw(axes: Axes, panel: _Panel, colors_rgb: UInt8[np.ndarray, "n 3"]) -> None:
    rows, columns = panel.hu.shape
    height_mm, width_mm = rows * panel.spacing_mm[0], columns * panel.spacing_mm[1]
    extent = (0.0, width_mm, height_mm, 0.0)
    grey = apply_window(torch.from_numpy(np.ascontiguousarray(panel.hu)), panel.window).numpy()
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    fill = np.zeros((rows, columns, 4))
    fill[..., :3] = np.vstack([np.zeros((1, 3)), colors_rgb / 255])[panel.labels]
    fill[..., 3] = FILL_OPACITY * (panel.labels > 0)
    axes.imshow(fill, extent=extent, interpolation="nearest")
    y_mm = centre_offsets(rows) * panel.spacing_mm[0]
    x_mm = centre_offsets(columns) * panel.spacing_mm[1]
    for value in np.unique(panel.labels[panel.labels > 0]):
        _outline(axes, x_mm, y_mm, panel.labels == value, colors_rgb[value - 1])
    axes.set_title(panel.title, color=TEXT, fontsize=9, pad=4)
    axes.set_xlim(0, width_mm)
    axes.set_ylim(height_mm, 0)
    axes.axis("off")
    for x, letter, side in zip((0.01, 0.99), panel.ends, ("left", "right"), strict=True):
        text = axes.text(x, 0.5, letter, transform=axes.transAxes, color=LETTER, fontsize=12, weight="bold")
        text.set(ha=side, va="center", path_effects=[withStroke(linewidth=2.5, foreground="black")])


def _outline(
    axes: Axes,
    x_mm: Float[np.ndarray, " columns"],
    y_mm: Float[np.ndarray, " rows"],
    mask: Bool[np.ndarray, "rows columns"],
    color_rgb: UInt8[np.ndarray, " 3"],
) -> None:
    if min(mask.shape) >= 2:
        axes.contour(x_mm, y_mm, mask.astype(np.float32), levels=[0.5], colors=[tuple(color_rgb / 255)], linewidths=1.0)


def _draw_legend(axes: Axes, objects: Sequence[ObjectResult], colors_rgb: UInt8[np.ndarray, "n 3"]) -> None:
    """Colour, name and volume of each object, in up to two columns; what was not found is said so."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    columns = 1 if len(objects) <= LEGEND_ROWS else 2
    width = 1 / columns
    shown = min(len(objects), columns * LEGEND_ROWS - (len(objects) > columns * LEGEND_ROWS))
    for number, item in enumerate(objects[:shown]):
        column, row = divmod(number, LEGEND_ROWS)
        x, y = 0.04 + column * width, 0.97 - row * 0.95 / LEGEND_ROWS
        swatch = tuple(colors_rgb[number] / 255) if item.present else DIM
        axes.add_patch(Rectangle((x, y - 0.014), 0.035, 0.028, color=swatch, fill=item.present, clip_on=False))
        volume = told(item.volume_ml, "mL")
        words = _shortened(item.name, 44 // columns) + f"  {volume if item.present else 'not found'}"
        axes.text(x + 0.055, y, words, color=TEXT if item.present else DIM, fontsize=10 / columns**0.4, va="center")
    if shown < len(objects):
        axes.text(0.04 + width, 0.02, f"… and {len(objects) - shown} more", color=TEXT, fontsize=8, va="center")


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
