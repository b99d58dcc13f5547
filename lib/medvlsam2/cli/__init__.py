"""The command ``medvlsam2``: thin verbs over ``tasks`` and ``training``."""

from medvlsam2.cli.program import main

__all__ = ["main"]
