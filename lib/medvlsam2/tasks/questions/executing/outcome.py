"""What a query gives: a value with its unit, or why there is none; and the facts that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.quantities import as_in_json
from medvlsam2.data.query.objects import ObjectExpression
from medvlsam2.data.query.queries import Query

Value = bool | int | float | str | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Things:
    """What an object expression means in one scan."""

    expression: ObjectExpression
    state: FactState
    """"present" if anything that it means is seen."""
    reason: str = ""
    """One sentence: why nothing is known, or what is missing."""
    whole: Fact | None = None
    """Everything together, measured as one object; None where nothing is seen."""
    each: tuple[Fact, ...] = ()
    """The single things, the largest first, e.g. both kidneys of "kidneys"; one for a single organ."""

    @property
    def is_present(self) -> bool:
        """Whether anything is seen."""
        return self.whole is not None

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What proves it: the whole where it is one fact of the scan, and the single things."""
        whole = () if self.whole is None or self.whole in self.each else (self.whole,)
        return (*self.each, *(fact for fact in whole if fact.mask is not None))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one query."""

    query: Query
    value: Value | None = None
    """None: the question cannot be answered; ``state`` and ``reason`` say why."""
    unit: str = ""
    state: FactState = "present"
    """Of what was asked for: "not assessed" and "outside the field of view" have no value, except "not seen"."""
    reason: str = ""
    """One sentence: why there is no value, or what limits it."""
    things: tuple[Things, ...] = ()
    """The objects of the query in order."""
    evidence: tuple[Fact, ...] = ()
    """Facts that prove the value."""
    chosen: Things | None = None
    """Of several objects, the one that the value names."""
    details: tuple[tuple[str, float], ...] = ()
    """Other numbers that the sentence tells, by name, such as the volumes of both objects of a ratio."""

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def detail(self) -> dict[str, float]:
        """The other numbers by name."""
        return dict(self.details)

    @property
    def fact_ids(self) -> tuple[str, ...]:
        """Ids of the facts that prove it."""
        return tuple(dict.fromkeys(fact.id for fact in self.evidence))

    @property
    def masks(self) -> tuple[str, ...]:
        """Ids of the masks that were measured."""
        return tuple(dict.fromkeys(fact.mask for fact in self.evidence if fact.mask is not None))

    @property
    def slices(self) -> tuple[int, int] | None:
        """First and last slice of the masks, as indices along the scan's own slice axis."""
        spans = [fact.slices for fact in self.evidence if fact.slices is not None]
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None

    @property
    def place_ras(self) -> tuple[float, float, float] | None:
        """A voxel in the first thing that proves it, RAS+ mm."""
        return next((fact.centre_ras for fact in self.evidence if fact.centre_ras is not None), None)

    def told_value(self) -> Any:
        """The value in JSON: numbers rounded, several values as a list."""
        if isinstance(self.value, float):
            return as_in_json(self.value, self.unit)
        return list(self.value) if isinstance(self.value, tuple) else self.value
