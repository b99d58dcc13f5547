"""The installed command ``medvlsam2``: it runs one verb in a process of its own."""

from __future__ import annotations

import gc
import sys
from io import TextIOWrapper
from typing import Final

from medvlsam2.cli.program import main

COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""Thresholds of Python's garbage collector. torch and transformers load about a million lasting objects; meanwhile
Python's own thresholds (700, 10, 10) start the collector again and again. A verb begins after 4.1 s with those,
and after 3.5 s with these (two cores, 2026-11-30)."""


def command() -> None:
    """Run the verb that the command line names, and end the process with its exit code."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal's encoding lacks a character, "?" is shown
    code = main()
    gc.freeze()  # else Python searches all objects once more at its end: 1.5 s instead of 0.2 s
    sys.exit(code)
