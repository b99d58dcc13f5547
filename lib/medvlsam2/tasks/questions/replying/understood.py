"""How a question was understood, in plain English."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.language.grammar import join
from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskList,
    AskMeasure,
    AskMore,
    AskObject,
    AskPicture,
    AskRatio,
    AskScan,
    AskState,
    AskWhich,
    Decline,
    Measure,
    ObjectQuestion,
    Query,
    Refusal,
    ScanQuestion,
)
from medvlsam2.tasks.questions.replying.spoken import place_spoken, spoken

MEASURES: Final[dict[Measure, str]] = {
    "volume": "volume",
    "length": "longest diameter",
    "short axis": "short axis",
    "density": "mean density",
}
_OBJECTS: Final[dict[ObjectQuestion, str]] = {
    "presence": "whether {it} can be seen",
    "count": "how many there are of {it}",
    "side": "on which side of the patient {it} lies",
    "level": "at the level of which vertebra {it} lies",
    "slices": "on which slices {it} lies",
    "location": "where {it} lies",
    "description": "a description of {it}",
}
_SCAN: Final[dict[ScanQuestion, str]] = {
    "region": "which part of the body the scan shows",
    "phase": "the contrast phase",
    "modality": "the modality",
    "plane": "the plane of the slices",
    "number of slices": "the number of slices",
    "slice thickness": "the distance of neighbouring slices",
    "voxel size": "the size of a voxel",
    "impression": "the main finding",
}
_REFUSALS: Final[dict[Refusal, str]] = {
    "identity": "a question about who the patient is",
    "treatment": "a question about treatment",
}


def understood(query: Query) -> str:  # noqa: C901 - one line for each kind of query
    """Return what a query asks, as a noun phrase or a clause.

    Example:
        >>> from medvlsam2.data.query.reading import read_query
        >>> understood(read_query("volume of left kidney, mL"))
        'the volume of the left kidney in mL'
        >>> understood(read_query("whether spleen is enlarged"))
        'whether the spleen is enlarged'
    """
    match query:
        case AskObject(what=what, target=target):
            return _OBJECTS[what].format(it=spoken(target))
        case AskMeasure(measure=measure, target=target):
            return f"the {MEASURES[measure]} of {spoken(target)}{_in(query.unit)}"
        case AskDistance(first=first, second=second):
            return f"the shortest distance from {spoken(first)} to {spoken(second)}{_in(query.unit)}"
        case AskRatio(measure=measure, first=first, second=second):
            both = f"the {MEASURES[measure]} of {spoken(first)} to that of {spoken(second)}"
            return f"the ratio of {both}{_in(query.unit)}"
        case AskDifference(measure=measure, first=first, second=second):
            both = f"the {MEASURES[measure]} of {spoken(first)} and that of {spoken(second)}"
            return f"the difference of {both}{_in(query.unit)}"
        case AskWhich(order=order, measure=measure, among=among):
            return f"which has the {order} {MEASURES[measure]}: {join([spoken(each) for each in among], 'or')}"
        case AskMore(measure=measure, first=first, order=order, second=second):
            limit = f"{second[0]:g} {second[1]}" if isinstance(second, tuple) else f"that of {spoken(second)}"
            return f"whether the {MEASURES[measure]} of {spoken(first)} is {order} than {limit}"
        case AskState(target=target, state=state):
            return f"whether {spoken(target)} is {state}"
        case AskList(category=category, place=place):
            return f"which {category} are seen{'' if place is None else f' in {place_spoken(place)}'}"
        case AskScan(what=what):
            return _SCAN[what]
        case Decline(why=why):
            return _REFUSALS[why]
        case AskPicture():
            return "a question about the picture that nothing measured answers"


def _in(unit: str | None) -> str:
    return "" if unit is None else f" in {unit}"
