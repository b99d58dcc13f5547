"""What a sentence of a report may state: of which finding or structure, in which state, with which numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medvlsam2.tasks.reporting.names import Named, Number

State = Literal["present", "absent", "normal", "seen", "not seen", "partly shown", "not assessed", "nothing", "unknown"]
"""What is said of a subject.

"present" and "absent" are said of findings, "normal", "seen", "not seen" and "partly shown" of structures, "nothing"
and "unknown" of all findings together: none is present, none was assessed.
"""


class NotRead(Exception):
    """A sentence is not understood; the message says why."""


@dataclass(frozen=True)
class Measure:
    """A number, what it is the number of, and whether it is said of the largest."""

    number: Number
    quantity: str = ""
    """Name of the measured quantity; "" if the sentence does not name it."""
    is_limit: bool = False
    is_most: bool = False
    is_least: bool = False
    """Whether the sentence says that the whole thing, which the scan cuts, measures at least so much."""


@dataclass(frozen=True)
class Statement:
    """One statement of a sentence."""

    state: State
    subject: Named = field(default_factory=Named)
    measures: tuple[Measure, ...] = ()
    count: int | None = None
    """How many findings there are; None if the sentence does not say."""
    respect: str = ""
    """In what respect something is normal."""
    grade: str = ""
    """"mild", "moderate" or "severe"; "" if the sentence does not grade."""
    heading: str | None = None
    """Vocabulary key of the structure under which a structured report states it."""


@dataclass(frozen=True)
class Acquisition:
    """What a sentence says of the scan as a whole."""

    region: str | None
    phase: str | None


@dataclass(frozen=True)
class Comparison:
    """A number of a prior scan, its date, and the number of this scan."""

    subject: Named
    quantity: str
    then: Number
    date: str
    now: Number


Read = Statement | Acquisition | Comparison
