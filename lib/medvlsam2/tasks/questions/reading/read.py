"""From a question to a query, with all checks between."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.query.queries import AskPicture, Decline, Query, objects_of
from medvlsam2.data.query.reading import read_query
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.questions.reading.agreement import disagreement, fitting_keys
from medvlsam2.tasks.questions.reading.checks import declined, require_english, require_short
from medvlsam2.tasks.questions.reading.writer import QueryWriter

Link = Callable[[str], Sequence[str]]
"""Gives the vocabulary keys of the names that the words of a question can mean."""
_BACK: Final = re.compile(
    r"^\W*(?:and|what about|how about|also|then)\b|\b(?:it|its|they|them|their|that|those|this one|these|the one|"
    r"one|ones|there|same|other|opposite|former|latter|previous|again)\b",
    re.IGNORECASE,
)
"""Words with which a question refers to the one before."""


@dataclass(frozen=True)
class Reading:
    """How a question was read."""

    query: Query
    refused: str = ""
    """One sentence: why the query that was written is not executed; the query is then ``AskPicture``."""
    written: str = ""
    """The query that was written and refused."""


def require_askable(question: str) -> Decline | None:
    """Refuse what no one can answer, and return the refusal of what is not answered on purpose; None: go on.

    Raises:
        InvalidPrompt: if the question is too long or not in English.
    """
    require_short(question)
    require_english(question)
    return declined(question)


def read(question: str, writer: QueryWriter, link: Link, previous: str | None = None) -> Reading:
    """Return the query of a question.

    Args:
        question: as it was asked; already checked by :func:`require_askable`.
        writer: writes the query.
        link: finds names in the question.
        previous: the query of the question before, as text.

    Raises:
        InvalidPrompt: if ``previous`` is no query.
        Cancelled: if the work is no longer wanted.
    """
    named = link(question)
    before = read_query(previous) if previous and (not named or _BACK.search(question)) else None
    keys = fitting_keys(question, named, before)
    text = writer.write(question, keys, before)
    try:
        query = read_query(text)
    except InvalidPrompt:
        return Reading(AskPicture(), "The question was not understood.", text)
    wrong = disagreement(question, query, before)
    strange = [key for expression in objects_of(query) for key in expression.keys if key not in keys]
    if wrong is not None:
        return Reading(AskPicture(), wrong, text)
    if strange:
        return Reading(AskPicture(), "The question names nothing that can be measured.", text)
    return Reading(query)
