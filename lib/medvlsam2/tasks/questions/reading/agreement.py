"""Whether a query says what its question says: sides and numbers must be those of the question.

A model that writes under a grammar can still choose a wrong word. A wrong side or a number that nobody gave would make
the answer true of something that was not asked, so such a query is not executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grammar import count_word
from medvlsam2.data.query.linking import findings_elsewhere, linked_names
from medvlsam2.data.query.objects import sizes_mm
from medvlsam2.data.query.queries import AskMore, AskWhich, Query, Unit, objects_of
from medvlsam2.data.query.told_sides import possible_sides, told_sides
from medvlsam2.tasks.questions.executing.units import are_of_one_kind, converted
from medvlsam2.tasks.questions.reading.amounts import amounts_in

NEAR: Final = 1e-6
"""Limits that differ less are the same; the query language writes two decimals."""
_BOTH: Final = re.compile(
    r"\b(?:both|other|opposite|contralateral|counterpart|fellow|bilateral\w*|each|either|which|side|same|pair|two|than|compare\w*)\b",
    re.IGNORECASE,
)
"""Words with which a question may mean sides that it does not name."""


def fitting_keys(question: str, keys: Sequence[str], before: Query | None) -> tuple[str, ...]:
    """Return the names that a question can mean: with one side in its words, no name of the other side alone.

    Args:
        question: as it was asked.
        keys: vocabulary keys of names that its words may mean.
        before: the query of the question before, to which this one refers.
    """
    wanted = list(keys)
    if before is not None:
        earlier = [key for expression in objects_of(before) for key in expression.keys]
        wanted += [other for key in earlier for other in (key, vocabulary.mirror(key))]
        wanted += findings_elsewhere(earlier, keys)
        kinds = [key.rpartition("_")[2] for key in earlier if vocabulary.STRUCTURES[key].is_finding]
        wanted += [kind for kind in kinds if kind in vocabulary.STRUCTURES]  # "and in the spleen?" after "liver cyst"
    sides = told_sides(question)
    if len(sides) == 1 and sides == possible_sides(question) and _BOTH.search(question) is None:
        (side,) = sides
        wanted = [key for key in wanted if vocabulary.STRUCTURES[key].side in (None, side)]
    return tuple(dict.fromkeys(wanted))


def disagreement(question: str, query: Query, before: Query | None) -> str | None:
    """Return one sentence that says what of a query its question does not say; None if they agree.

    Args:
        question: as it was asked.
        query: that it was read as.
        before: the query of the question before, to which this one refers.
    """
    written, asked, possible = told_sides(str(query)), told_sides(question), possible_sides(question)
    if before is not None and not asked and not linked_names(question):
        asked = told_sides(str(before))  # "Where is it?" asks about the same side
        possible |= asked
    strange = written - possible
    if asked and strange and _BOTH.search(question) is None and not isinstance(query, AskWhich):
        return f"It was read as '{query}', which names the {' and '.join(sorted(strange))} side."
    left_out = asked - written if written or len(asked) == 1 else set()  # without sides, a pair means both
    if left_out and objects_of(query) and not _tells_side(query) and not isinstance(query, AskWhich):
        return f"It was read as '{query}', which leaves out the {' and '.join(sorted(left_out))} side."
    told = question if before is None else f"{question} {before}"
    strange_limit = next((f"{limit:g} mm" for limit in _sizes_mm(query) if not _is_said_mm(limit, told)), None)
    if strange_limit is None and isinstance(query, AskMore) and isinstance(query.second, tuple):
        strange_limit = None if _is_amount(query.second, told) else f"{query.second[0]:g} {query.second[1]}"
    if strange_limit is not None:
        return f"It was read as '{query}', with the limit {strange_limit} that the question does not hold."
    return None


def _tells_side(query: Query) -> bool:
    """Whether a query without a side may answer a question that names one: "Is the cyst on the left?"."""
    return str(query).startswith(("side of", "location of", "list of", "picture", "decline", "count of"))


def _sizes_mm(query: Query) -> Iterable[float]:
    for expression in objects_of(query):
        yield from sorted(sizes_mm(expression))


def _is_said_mm(limit_mm: float, question: str) -> bool:
    return any(
        are_of_one_kind(unit, "mm") and abs(converted(number, unit, "mm") - limit_mm) < NEAR
        for number, unit in _amounts(question, "mm")
    )


def _is_amount(limit: tuple[float, Unit], question: str) -> bool:
    number, unit = limit
    return any(
        are_of_one_kind(given, unit) and abs(converted(each, given, unit) - number) < NEAR
        for each, given in _amounts(question, unit)
    )


def _amounts(question: str, usual: Unit) -> tuple[tuple[float, Unit], ...]:
    """The amounts of a question; its bare numbers and number words stand for the unit of the query."""
    bare = [float(each) for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", question)]
    words = [float(n) for n in range(11) if re.search(rf"\b{count_word(n)}\b", question, re.IGNORECASE)]
    return amounts_in(question) or tuple((number, usual) for number in (*bare, *words))
