"""Objects that a question's words surely mean: all of a row of vertebrae, and the finding before in another organ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_numbered
from medvlsam2.data.query.linking import findings_elsewhere, named_keys
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import AskMeasure, AskObject, AskState, Query, objects_of

_ELSEWHERE: Final = re.compile(
    r"^\W*(?:(?:ok|and|then|also|now|what about|how about)\b\W*)*(?:(?:one|any|some)\s+)?(?:in|inside|within)\s+.+",
    re.IGNORECASE,
)
"""Only a place: "and in the left kidney?"."""
_JOINED: Final = re.compile(r"(?:,|,? and)\s+[a-z]* ?(?:rib )?[a-z]?\d", re.IGNORECASE)


def elsewhere(question: str, keys: Sequence[str], before: Query | None) -> tuple[str, ...]:
    """Return the names that may be written; of a mere place after a question about a finding, that finding there.

    Args:
        question: as it was asked.
        keys: vocabulary keys of names that it can mean.
        before: the query of the question before.
    """
    earlier = () if before is None else tuple(key for one in objects_of(before) for key in one.keys)
    findings = [key for key in earlier if vocabulary.STRUCTURES[key].is_finding]
    places = named_keys(question)
    if not findings or len(places) != 1 or _ELSEWHERE.match(question) is None:
        return tuple(keys)
    there = [key for key in findings_elsewhere(findings, places) if vocabulary.STRUCTURES[key].site in places]
    return tuple(key for key in there if key in keys) or tuple(keys)


def with_all_named(query: Query, question: str) -> Query:
    """Return a query about all vertebrae or ribs that a question lists, where only some of them were written.

    Args:
        query: as it was written.
        question: as it was asked, with ranges written out.
    """
    listed = [key for key in named_keys(question) if is_numbered(key) and key[-1].isdigit()]
    if not isinstance(query, AskObject | AskMeasure | AskState) or len(listed) < 2 or not _JOINED.search(question):
        return query
    items = query.target.items
    are_plain = all(item == Item(item.key) and item.key in listed for item in items) and not query.target.without
    if not are_plain or len(items) == len(listed):
        return query
    return replace(query, target=ObjectExpression(tuple(Item(key) for key in listed)))
