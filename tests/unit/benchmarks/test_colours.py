"""The program that chooses colours writes the table that the vocabulary reads."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import colours


def test_the_colours_are_written_where_they_are_read() -> None:
    read = Path(str(files("medvlsam2.data.structures"))) / "structure_colors.yaml"
    assert read.is_file()
    assert read == colours.OUTPUT
