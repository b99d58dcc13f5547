"""Execution of a query: each kind of query has one function that computes its result."""

from __future__ import annotations

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
    Query,
    objects_of,
)
from medvlsam2.tasks.questions.executing.lists import listed
from medvlsam2.tasks.questions.executing.measures import compared, measured, more, which
from medvlsam2.tasks.questions.executing.neighbours import distance
from medvlsam2.tasks.questions.executing.objects import about
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scan import of_scan
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.executing.states import state_of


def execute(query: Query, scene: Scene) -> Outcome:  # noqa: C901 - one line for each kind of query
    """Return the result of a query in one scan; only what the query names is measured.

    Args:
        query: any but ``AskPicture`` and ``Decline``, which measure nothing.
        scene: of the scan.

    Raises:
        InvalidPrompt: if an object cannot be composed.
        Cancelled: if the work is no longer wanted.
    """
    scene.look_for(objects_of(query))
    match query:
        case AskObject():
            return about(query, scene)
        case AskMeasure():
            return measured(query, scene)
        case AskDistance():
            return distance(query, scene)
        case AskRatio() | AskDifference():
            return compared(query, scene)
        case AskWhich():
            return which(query, scene)
        case AskMore():
            return more(query, scene)
        case AskState():
            return state_of(query, scene)
        case AskList():
            return listed(query, scene)
        case AskScan():
            return of_scan(query, scene)
        case Decline() | AskPicture():
            raise AssertionError(f"'{query}' measures nothing")
