"""Grounded reports: sentences whose numbers, units, sides, structures and kinds of finding come from facts alone.

``patterns.yaml`` holds the sentences; ``topics`` groups the facts of a scan; ``plans`` offers the next sentences to a
model that chooses among them, and writes reports to learn from. ``known`` makes facts of scans whose truth is known.
"""

from medvlsam2.data.language.grounded.known import known_facts
from medvlsam2.data.language.grounded.plans import Draft, Line, Plan, plans

__all__ = ["Draft", "Line", "Plan", "known_facts", "plans"]
