"""Grounded reports: sentences whose numbers, units, sides, structures and kinds of finding come from facts alone.

``patterns.yaml`` holds the sentences; ``topics`` groups the facts of a scan; ``plans`` offers the next sentences to a
model that chooses among them, and writes reports to learn from. ``known`` makes facts of scans whose truth is known,
``imagined`` facts of scans that nobody made.
"""

from medvlsam2.data.language.grounded.imagined import imagined_facts
from medvlsam2.data.language.grounded.known import known_facts
from medvlsam2.data.language.grounded.plans import Draft, Line, Plan, plans
from medvlsam2.data.language.grounded.prior import Prior

__all__ = ["Draft", "Line", "Plan", "Prior", "imagined_facts", "known_facts", "plans"]
