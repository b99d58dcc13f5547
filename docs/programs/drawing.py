"""Small SVG pictures for light and dark pages: text is wrapped by an estimate of its width, so files never differ.

No font is embedded: a page shows the pictures in the reader's own sans-serif font.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
CHARACTER_EM: Final = 0.56
"""Mean width of a character of sans-serif text as a part of the font size; DejaVu Sans, the widest usual font, has 0.6
and still fits, because boxes leave a margin."""
HUES: Final[dict[str, tuple[str, str]]] = {
    "app": ("#fdf0d5", "#4a3a15"),
    "command": ("#e7e5fb", "#332f5c"),
    "tasks": ("#dcecfb", "#173a5a"),
    "training": ("#e3f3dc", "#24431a"),
    "model": ("#fbe1e1", "#592529"),
    "data": ("#dff3f1", "#15443f"),
    "base": ("#ececec", "#3a3a3a"),
}
"""Fill of each kind of box on a light and on a dark page."""
_LIGHT: Final = {"page": "#ffffff", "text": "#1c1e21", "muted": "#51565d", "line": "#6b7280"}
_DARK: Final = {"page": "#1e2129", "text": "#eceef2", "muted": "#b6bcc6", "line": "#9aa3b0"}


def wrapped(text: str, width_px: float, size_px: float) -> list[str]:
    """Lines of a text that fit a width."""
    return textwrap.wrap(text, max(8, int(width_px / (CHARACTER_EM * size_px))), break_long_words=False)


@dataclass
class Picture:
    """An SVG that grows element by element.

    Args:
        title: what a screen reader says of it.
    """

    title: str
    elements: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled box with round corners."""
        self.elements.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7"/>')

    def text(self, x: float, y: float, text: str, style: str, *, anchor: str = "start") -> None:
        """One line of text; y is its base line."""
        self.elements.append(f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def path(self, points: str, *, has_arrow: bool = True) -> None:
        """A line along SVG path commands."""
        marker = ' marker-end="url(#arrow)"' if has_arrow else ""
        self.elements.append(f'<path class="line" d="{points}"{marker}/>')

    def svg(self, width: float, height: float) -> str:
        """The whole file."""
        light = _rules(_LIGHT, 0)
        dark = _rules(_DARK, 1)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
                f'height="{height:g}" role="img" aria-label="{escape(self.title)}">',
                f"<title>{escape(self.title)}</title>",
                "<style>",
                f"text {{ font-family: {FONT}; }}",
                ".name { font-size: 16px; font-weight: 600; } .says { font-size: 13px; } .small { font-size: 12px; }",
                ".code { font-size: 12.5px; font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, monospace; }",
                *light,
                "@media (prefers-color-scheme: dark) {",
                *(f"  {rule}" for rule in dark),
                "}",
                "</style>",
                '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
                'orient="auto"><path class="tip" d="M0 0 L10 5 L0 10 z"/></marker></defs>',
                f'<rect class="page" width="{width:g}" height="{height:g}"/>',
                *self.elements,
                "</svg>",
                "",
            ]
        )


def _rules(colours: dict[str, str], which: int) -> list[str]:
    rules = [
        f".page {{ fill: {colours['page']}; }} text {{ fill: {colours['text']}; }}",
        f".small {{ fill: {colours['muted']}; }} .tip {{ fill: {colours['line']}; }}",
        f".line {{ fill: none; stroke: {colours['line']}; stroke-width: 1.4; }}",
    ]
    return rules + [f".{kind} {{ fill: {fills[which]}; stroke: {colours['line']}; }}" for kind, fills in HUES.items()]
