"""The installed command: one verb in a process of its own."""

from __future__ import annotations

import gc
import sys
from io import TextIOWrapper
from typing import Final

from medvlsam2.cli.program import main

COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""When Python looks for cycles of dead objects. Its own (700, 10, 10) looks over and over while torch and transformers
load about a million lasting objects: 4.1 s until a verb begins, 3.5 s with these (two cores, 2026-11-30)."""


def command() -> None:
    """Run the verb that the command line names, and end the process with its exit code."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal whose encoding lacks a character shows "?"
    code = main()
    gc.freeze()  # Python then does not search all objects once more while it ends: 0.2 s for 1.5 s
    sys.exit(code)
