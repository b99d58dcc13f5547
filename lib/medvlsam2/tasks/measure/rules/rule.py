"""What a rule is: what it measures, the threshold it compares with, and the conditions without which it is silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.facts import Region
from medvlsam2.data.structures.table import Code, Side
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask


@runtime_checkable
class Known(Protocol):
    """What rules may ask of a scan (:class:`medvlsam2.tasks.measure.fact_source.Facts`)."""

    @property
    def volume(self) -> CTVolume:
        """The scan."""

    def tells(self, key: str) -> bool:
        """Whether a structure is told reliably."""

    def structure(self, key: str) -> Fact:
        """Fact of a structure."""

    def finding(self, key: str) -> tuple[Fact, ...]:
        """Facts of a finding."""

    def rule(self, key: str) -> Fact:
        """What another rule says."""

    def region(self) -> Region | None:
        """Part of the body."""

    def may_show(self, key: str) -> bool:
        """Whether the region is that of a structure, or a quick look shows something of it at an end of the scan."""

    def out_of_view(self, key: str) -> str | None:
        """Why the scan may not show a structure or the site of a finding; None if it does."""

    def kept_mask(self, fact: Fact) -> KeptMask | None:
        """Mask of a fact."""


class NotAssessed(Exception):
    """A rule's condition is not met; the message is one sentence for the reader."""

    state: ClassVar[FactState] = "not assessed"
    """Of the rule's fact."""


class OutOfView(NotAssessed):
    """The scan does not show the anatomy that a rule measures."""

    state: ClassVar[FactState] = "outside the field of view"


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One of several findings in one structure, such as a stone in a kidney."""

    mask: KeptMask
    extent_mm: float
    """Longest side of the box round it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a rule says of one of the structures that it looks at: of one kidney, one lung, one vertebra."""

    structure: str
    value: float | None = None
    is_true: bool = False
    label: str = ""
    spots: tuple[Spot, ...] = ()
    """What is counted in it, the largest first; none where the finding is a state of the whole structure."""
    refused: NotAssessed | None = None
    """Why nothing is said of it."""
    note: str = ""
    """One sentence that limits what is said of it."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a rule measured."""

    value: float | None
    evidence: tuple[str, ...]
    """Ids of the facts that it was measured on."""
    label: str | None = None
    """What the rule says in a word; None: the grade that the value reaches."""
    structure: str | None = None
    side: Side | None = None
    mask: KeptMask | None = None
    """A mask of its own, such as a stone's; None: that of the structure."""
    note: str = ""
    """One sentence that limits what was measured."""
    is_at_least: bool = False
    """Whether the scan's end cuts what was measured, so that the whole is larger."""
    is_true: bool | None = None
    """Whether the finding is present, where that is not told by the threshold."""
    parts: tuple[Part, ...] = ()
    """Of each structure by itself, where the rule looks at several that can differ."""
    refused: NotAssessed | None = None
    """Why the rule says nothing of all parts together."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the table.

    Args:
        key: of the rule; a vocabulary key where the vocabulary has the finding.
        name: that people read.
        measure: the function that measures, by its name.
        of: vocabulary keys of what it needs.
        beside: vocabulary keys of what it leaves out of account where that is seen.
        passes: whether values above or below the threshold mean that the finding is present.
        threshold: None for rules that say a word (phase, region).
        unit: of value and threshold.
        source: paper or guideline with its year.
        code: SNOMED CT.
        grades: the label from each value on, in ascending order.
        min_confidence: least confidence of a mask that is measured.
        whole: whether what is measured must lie in the scan as a whole.
        phases: contrast phases in which the rule holds; none: all.
        max_slice_mm: largest distance of slices with which it holds.
        limits: further numbers that the measuring code needs, by name.
    """

    key: str
    name: str
    measure: str
    of: tuple[str, ...]
    beside: tuple[str, ...] = ()
    passes: Literal["above", "below"] = "above"
    threshold: float | None = None
    unit: str = ""
    source: str
    code: Code | None = None
    grades: tuple[tuple[float, str], ...] = ()
    min_confidence: float = 0.7
    whole: bool = True
    phases: tuple[str, ...] = ()
    max_slice_mm: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)

    def is_passed(self, value: float) -> bool:
        """Whether a value means that the finding is present."""
        assert self.threshold is not None
        return value > self.threshold if self.passes == "above" else value < self.threshold

    def grade(self, value: float) -> str:
        """The label of the highest grade that a value reaches; for rules that look below, of the lowest."""
        reached = [
            label for start, label in self.grades if (value >= start if self.passes == "above" else value <= start)
        ]
        if not reached:
            return ""
        return reached[-1] if self.passes == "above" else reached[0]


Measure = Callable[[Rule, Known], Measured]
"""Measures one rule; raises :class:`NotAssessed` where a condition is not met."""


def code_of(given: Any) -> Code | None:
    """A code from its value and meaning in YAML."""
    return None if given is None else Code(str(given[0]), given[1])
