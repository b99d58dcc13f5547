"""Queries: what a question asks of a scan, in types that code can answer from measured facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medvlsam2.data.query.objects import ObjectExpression, Place

Measure = Literal["volume", "length", "short axis", "density"]
"""Volume of the mask, its longest diameter in a slice, the longest one across that, and its mean HU."""
Unit = Literal["mL", "L", "mm", "cm", "HU", "%"]
State = Literal["normal", "enlarged", "small", "dilated", "fatty", "calcified", "emphysematous", "fractured", "porous"]
"""State of a structure that measuring can prove. "porous": low density of trabecular bone."""
Category = Literal["findings", "structures", "organs", "bones", "vessels", "muscles", "vertebrae", "ribs"]
ObjectQuestion = Literal["presence", "count", "side", "level", "slices", "location", "description"]
"""What is asked of one object. "level": vertebrae beside it; "slices": from where to where; "location": in or beside
which structure."""
ScanQuestion = Literal[
    "region",
    "phase",
    "modality",
    "plane",
    "number of slices",
    "slice thickness",
    "voxel size",
    "impression",
]
"""What is asked of the scan as a whole. "impression": what is the main finding."""
Comparison = Literal["ratio", "difference"]
Order = Literal["greatest", "least"]
Refusal = Literal["identity", "treatment"]
"""Questions that are declined: who the patient is, and what to do about a disease."""


@dataclass(frozen=True)
class AskObject:
    """A question about one object."""

    what: ObjectQuestion
    target: ObjectExpression

    def __str__(self) -> str:
        return f"{self.what} of {self.target}"


@dataclass(frozen=True)
class AskMeasure:
    """How large or how dense an object is."""

    measure: Measure
    target: ObjectExpression
    unit: Unit | None = None
    """The unit that the question asks for; None: the usual one."""

    def __str__(self) -> str:
        return f"{self.measure} of {self.target}{_unit(self.unit)}"


@dataclass(frozen=True)
class AskDistance:
    """The shortest distance between the surfaces of two objects."""

    first: ObjectExpression
    second: ObjectExpression
    unit: Unit | None = None

    def __str__(self) -> str:
        return f"distance from {self.first} to {self.second}{_unit(self.unit)}"


@dataclass(frozen=True)
class AskRatio:
    """A measure of one object divided by that of another; "%" asks for a share."""

    measure: Measure
    first: ObjectExpression
    second: ObjectExpression
    unit: Unit | None = None

    def __str__(self) -> str:
        return f"ratio of {self.measure} of {self.first} to {self.second}{_unit(self.unit)}"


@dataclass(frozen=True)
class AskDifference:
    """By how much a measure of one object is more than that of another."""

    measure: Measure
    first: ObjectExpression
    second: ObjectExpression
    unit: Unit | None = None

    def __str__(self) -> str:
        return f"difference of {self.measure} of {self.first} to {self.second}{_unit(self.unit)}"


@dataclass(frozen=True)
class AskWhich:
    """Which of some objects has most, or least, of a measure."""

    order: Order
    measure: Measure
    among: tuple[ObjectExpression, ...]

    def __str__(self) -> str:
        return f"{self.order} {self.measure} of {' or '.join(str(each) for each in self.among)}"


@dataclass(frozen=True)
class AskMore:
    """Whether a measure of an object is more, or less, than that of another object, or than a number."""

    measure: Measure
    first: ObjectExpression
    order: Literal["more", "less"]
    second: ObjectExpression | tuple[float, Unit]

    def __str__(self) -> str:
        limit = f"{self.second[0]:g} {self.second[1]}" if isinstance(self.second, tuple) else str(self.second)
        return f"whether {self.measure} of {self.first} is {self.order} than {limit}"


@dataclass(frozen=True)
class AskState:
    """Whether a structure is in a state, e.g. enlarged."""

    target: ObjectExpression
    state: State

    def __str__(self) -> str:
        return f"whether {self.target} is {self.state}"


@dataclass(frozen=True)
class AskList:
    """What is seen of a category, in the whole scan or in one structure."""

    category: Category
    place: Place | None = None

    def __str__(self) -> str:
        return f"list of {self.category}" if self.place is None else f"list of {self.category} in {self.place}"


@dataclass(frozen=True)
class AskScan:
    """A question about the scan as a whole."""

    what: ScanQuestion

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Decline:
    """A question that is not answered."""

    why: Refusal

    def __str__(self) -> str:
        return f"decline {self.why}"


@dataclass(frozen=True)
class AskPicture:
    """A question that fits no other query; the model answers it from the image."""

    def __str__(self) -> str:
        return "picture"


Query = (
    AskObject
    | AskMeasure
    | AskDistance
    | AskRatio
    | AskDifference
    | AskWhich
    | AskMore
    | AskState
    | AskList
    | AskScan
    | Decline
    | AskPicture
)


def objects_of(query: Query) -> tuple[ObjectExpression, ...]:
    """All object expressions of a query, in order."""
    match query:
        case AskObject(target=target) | AskMeasure(target=target) | AskState(target=target):
            return (target,)
        case AskDistance() | AskRatio() | AskDifference():
            return query.first, query.second
        case AskMore():
            return (query.first,) if isinstance(query.second, tuple) else (query.first, query.second)
        case AskWhich():
            return query.among
        case _:
            return ()


def _unit(unit: Unit | None) -> str:
    return "" if unit is None else f", {unit}"
