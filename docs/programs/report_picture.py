"""Draws a report beside the scan that it is about: the demo phantom, its masks, and every sentence of the report.

    python docs/programs/report_picture.py --model small -o docs/pictures/report.png

A square before a sentence has the colour of the mask that the sentence is about. Report and masks are those that the
server gives; nothing in the picture is written by hand.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from medvlsam2 import NOTICE
from medvlsam2.data import vocabulary
from medvlsam2.data.colours import colors_of
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language.grounded.plans import HEADINGS
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.language.grounded.topics import is_finding
from medvlsam2.data.phantom import PhantomConfig, generate
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.registry import AUTO, resolve_model
from medvlsam2.tasks.converse import Report, ReportSentence, report
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.overlay import BACKGROUND, DIM, TEXT, draw_best
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

PICTURE: Final = Path(__file__).resolve().parents[1] / "pictures" / "report.png"
SEED: Final = 1
"""Of the demo phantom, as in the Makefile."""
SIZE_INCH: Final = (12.6, 7.4)
DOTS_PER_INCH: Final = 110
COLUMNS: Final = 78
"""Characters of a line of the report."""
ROW: Final = 0.039
"""Height of a line, as a share of the column of text."""
SQUARE: Final = (0.013, 0.021)
"""Width and height of a square."""
SHOWN: Final = 5
"""Squares before one sentence."""
_UNIT: Final = re.compile(r"(?<=\d) (?=mL|mm|HU|cm)")
"""The space between a number and its unit, at which no line breaks."""
Color = tuple[int, int, int]


def named(fact: Fact) -> str | None:
    """The name whose mask shows a fact; None for a fact of the scan as a whole, or of what is not there."""
    if fact.kind == "finding" or fact.key in vocabulary.STRUCTURES:
        key = fact.key if fact.is_present and fact.kind != "rule" else fact.structure
    else:
        key = fact.structure
    return None if key is None or key not in vocabulary.STRUCTURES else vocabulary.STRUCTURES[key].name


def names_of(told: Report, sentence: ReportSentence) -> list[str]:
    """Names whose masks a sentence is about; none for the technique, and for what is denied or not assessed."""
    facts = [told.facts.by_id[fact_id] for fact_id in sentence.fact_ids]
    shown = [fact for fact in facts if is_finding(fact) or fact.kind == "structure"]
    shown = [fact for fact in shown if fact.is_present or (fact.state == "absent" and rule_words(fact).respect)]
    return list(dict.fromkeys(name for fact in shown if (name := named(fact)) is not None))


def draw(volume: CTVolume, told: Report, engine: Engine, path: Path) -> None:
    """Write the picture.

    Args:
        volume: the scan.
        told: its report.
        engine: finds the masks.
        path: of the PNG.
    """
    of_sentence = {one.sentence: names_of(told, one) for one in told.sentences}
    names = list(dict.fromkeys(name for own in of_sentence.values() for name in own))
    found = segment(engine, volume, [ObjectPrompt(name) for name in names])
    seen = {item.name for item in found.objects if item.present}
    figure = Figure(figsize=SIZE_INCH, dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 2, left=0.015, right=0.985, bottom=0.05, top=0.94, wspace=0.03, hspace=0.09, width_ratios=(0.72, 1)
    )
    draw_best(figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0]), volume, found.label_map, found.objects)
    colors = dict(zip(names, colors_of(names), strict=True))
    squares = {text: [colors[name] for name in own if name in seen] for text, own in of_sentence.items()}
    _write(figure.add_subplot(grid[:, 1]), told, squares)
    figure.text(0.985, 0.015, f"{engine.model_id} {engine.version} · {NOTICE}", color=DIM, fontsize=8, ha="right")
    canvas.print_figure(str(path), format="png", facecolor=BACKGROUND)


def _write(axes: Axes, told: Report, squares: dict[str, list[Color]]) -> None:
    """The report line by line, with the squares of each sentence before it."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    y = 0.985
    left = [one.sentence for one in told.sentences]
    for heading in HEADINGS.values():
        own = _section(told.text, heading, left)
        if not own:
            continue
        axes.text(0.03, y, heading.rstrip(":"), color=TEXT, fontsize=12, weight="bold", va="top")
        y -= ROW * 1.15
        for sentence in own:
            _squares(axes, squares[sentence][:SHOWN], y)
            for line in textwrap.wrap(_UNIT.sub("\u00a0", sentence), COLUMNS):
                axes.text(0.092, y, line, color=TEXT, fontsize=10.5, va="top")
                y -= ROW
            y -= ROW * 0.15
        y -= ROW * 0.35


def _section(text: str, heading: str, left: list[str]) -> list[str]:
    """The sentences under a heading; they are taken from those that are left, in order."""
    paragraph = next((part for part in text.split("\n") if part.startswith(heading)), "")
    rest, own = paragraph.removeprefix(heading).strip(), []
    while left and rest.startswith(left[0]):
        rest = rest.removeprefix(left[0]).strip()
        own.append(left.pop(0))
    return own


def _squares(axes: Axes, colors: Sequence[Color], y: float) -> None:
    for number, color in enumerate(reversed(colors)):
        place = (0.07 - number * SQUARE[0] * 1.3, y - SQUARE[1])
        axes.add_patch(Rectangle(place, *SQUARE, color=tuple(part / 255 for part in color)))


def made(model: str, path: Path) -> str:
    """Report on the demo phantom, draw the picture, and return the report."""
    engine = Engine(resolve_model(model), "cpu")
    volume = generate(SEED, PhantomConfig()).volume
    told = report(engine, volume)
    draw(volume, told, engine, path)
    return told.text


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=AUTO, help="id or folder of the model that writes")
    parser.add_argument("-o", "--output", type=Path, default=PICTURE, help="PNG to write")
    options = parser.parse_args()
    print(made(options.model, options.output))


if __name__ == "__main__":
    main()
