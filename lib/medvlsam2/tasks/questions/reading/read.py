"""From a question to a query, with all checks between."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.query.linking import allowed_keys, linked_names
from medvlsam2.data.query.queries import AskList, AskPicture, Decline, Query, objects_of
from medvlsam2.data.query.reading import read_query
from medvlsam2.data.query.words.series_names import written_out
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.questions.reading.agreement import disagreement, fitting_keys
from medvlsam2.tasks.questions.reading.amounts import as_worded
from medvlsam2.tasks.questions.reading.checks import declined, require_english, require_short
from medvlsam2.tasks.questions.reading.named_objects import elsewhere, with_all_named
from medvlsam2.tasks.questions.reading.writer import QueryWriter

SHORT_WORDS: Final = 4
"""A question of at most so many words, such as "the spleen?", may be a rest of the question before."""
_BACK: Final = re.compile(
    r"^\W*(?:and|what about|how about|also|then)\b|\b(?:it|its|they|them|their|that|those|this one|these|the one|"
    r"one|ones|there|same|other|opposite|former|latter|previous|again|difference to|compared? (?:to|with|this))\b|"
    r"\b(?:vs|versus|than|relative to)\b",
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


def read(question: str, writer: QueryWriter, previous: str | None = None, choices: Sequence[str] = ()) -> Reading:
    """Return the query of a question.

    Args:
        question: as it was asked; already checked by :func:`require_askable`.
        writer: writes the query.
        previous: the query of the question before, as text.
        choices: of multiple choice; their names may be written too.

    Raises:
        InvalidPrompt: if ``previous`` is no query.
        Cancelled: if the work is no longer wanted.
    """
    question = written_out(question)
    offered = "; ".join(choices)
    names = linked_names(question) or linked_names(offered)
    before = read_query(previous) if previous else None
    if names and not _refers_back(question):
        before = None
    together = f"{question}; {offered}; {'' if before is None else before}"
    keys = fitting_keys(question, (*_allowed(question), *_allowed(offered), *_allowed(together)), before)
    keys = elsewhere(question, keys, before)
    text = writer.write(question, names, keys, before)
    try:
        query = with_all_named(as_worded(read_query(text), question, choices), question)
    except InvalidPrompt:
        return Reading(AskPicture(), "The question was not understood.", text)
    wrong = disagreement(question, query, before)
    if wrong is not None:
        return Reading(AskPicture(), wrong, text)
    if any(key not in keys for key in _keys_of(query)):
        return Reading(AskPicture(), "The question names nothing that can be measured.", text)
    return Reading(query)


def _refers_back(question: str) -> bool:
    """Whether a question may refer to the one before: by its words, or because it is hardly more than a name."""
    return _BACK.search(question) is not None or len(question.split()) <= SHORT_WORDS


def _allowed(question: str) -> tuple[str, ...]:
    """The names that a question can mean; none where it names nothing."""
    keys = allowed_keys(question)
    return () if len(keys) == len(vocabulary.STRUCTURES) else keys


def _keys_of(query: Query) -> Iterator[str]:
    for expression in objects_of(query):
        yield from expression.keys
    if isinstance(query, AskList) and query.place is not None:
        yield query.place.key
