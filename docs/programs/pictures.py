"""Draws the pictures of the documents from the code: `make pictures`.

`docs/pictures/packages.svg` shows the packages and their imports, `docs/pictures/click_way.svg` what happens at one
click: the shipped model answers one, and the functions that it runs through are recorded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import click_way
import packages

PICTURES: Final = Path(__file__).resolve().parents[1] / "pictures"


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder to write to")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, svg in (("packages", packages.draw()), ("click_way", click_way.draw(click_way.recorded()))):
        (options.output / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(options.output / f"{name}.svg")


if __name__ == "__main__":
    main()
