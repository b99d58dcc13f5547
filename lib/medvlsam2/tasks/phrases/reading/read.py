"""The door of this room: how a phrase is read, with all checks between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medvlsam2.data import vocabulary
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.reading import read_object
from medvlsam2.data.query.words.series_names import written_out
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.reading.agreement import disagreement, unused_words
from medvlsam2.tasks.phrases.reading.controlled import read_controlled
from medvlsam2.tasks.phrases.reading.names import corrected, names_in
from medvlsam2.tasks.phrases.reading.words import table, words_of
from medvlsam2.tasks.phrases.reading.writer import ObjectWriter
from medvlsam2.tasks.phrases.unclear import require_sides, short, subtracts

Link = Callable[[str], Sequence[str]]
"""Gives the vocabulary keys of the names that the words of a phrase can mean."""
Writer = Callable[[], ObjectWriter | None]


def no_writer() -> None:
    """A ``Writer`` where no model reads phrases."""


@dataclass(frozen=True)
class Reading:
    """How a phrase was read.

    Args:
        expression: what it means; None: it was not read.
        refused: one sentence: why what a model wrote is not used; empty otherwise.
        unused: words of the phrase that the expression does not use.
        is_written: whether a writer wrote it, and no rule read it.
    """

    expression: ObjectExpression | None
    refused: str = ""
    unused: tuple[str, ...] = ()
    is_written: bool = False

    @property
    def name(self) -> str | None:
        """The name of the vocabulary that the phrase means and nothing more; None for other phrases."""
        only = None if self.expression is None else _only(self.expression)
        return None if only is None else vocabulary.STRUCTURES[only].name


def read_phrase(phrase: str, writer: Writer = no_writer, link: Link | None = None) -> Reading:
    """Read a phrase. A name of the vocabulary is not read: it means itself.

    Args:
        phrase: as it was asked.
        writer: gives who reads what no rule reads; None: nobody does.
        link: finds names for the writer.

    Raises:
        InvalidPrompt: if the phrase names a side of the picture, or misspells a side.
        Cancelled: if the work is no longer wanted.

    Example:
        >>> str(read_phrase("the larger kidney").expression), read_phrase("liver").expression
        ('largest kidneys', None)
    """
    text = " ".join(plain(phrase).split())
    if vocabulary.lookup(text) is not None or subtracts(phrase):
        return Reading(None)
    require_sides(phrase)
    try:
        return Reading(read_object(text))
    except InvalidPrompt:
        words = corrected(words_of(written_out(text)))
    unknown = _unknown_part(phrase, words)
    if unknown:
        return Reading(None, unknown)
    known = read_controlled(words)
    if known is not None:
        return Reading(known)
    reader = writer()
    return Reading(None) if reader is None else _written(phrase, words, reader, link)


def _written(phrase: str, words: Sequence[str], writer: ObjectWriter, link: Link | None) -> Reading:
    keys = () if link is None else tuple(link(phrase))
    if not keys:
        return Reading(None)
    text = writer.write(written_out(phrase), keys)
    try:
        expression = read_object(text)
    except InvalidPrompt:
        return Reading(None, f"'{short(phrase)}' was not understood.")
    wrong = disagreement(words, expression)
    if wrong is not None:
        return Reading(None, f"'{short(phrase)}' was not understood: the nearest reading is '{text}', {wrong}.")
    return Reading(expression, unused=unused_words(words), is_written=True)


def _unknown_part(phrase: str, words: Sequence[str]) -> str:
    """One sentence for a part that has no limits that are measured, e.g. the dome of the liver; empty without one."""
    for nearest, names in table("unmeasured").items():
        for place, part in enumerate(words[:-2]):
            is_part = (part,) in names and words[place + 1] == "of" and not _in_a_name(words, place)
            if is_part and (name := next((one for one in names_in(words) if one.start >= place + 2), None)) is not None:
                whole = " ".join(words[name.start : name.stop])
                understood = " or ".join(f"'{each} of {whole}'" for each in nearest.split(" or "))
                return (
                    f"'{short(phrase)}' cannot be composed: nothing measures where the {part} begins. What is "
                    f"understood is {understood}."
                )
    return ""


def _in_a_name(words: Sequence[str], place: int) -> bool:
    return any(name.start <= place < name.stop for name in names_in(words))


def _only(expression: ObjectExpression) -> str | None:
    """The key of an expression that is one name and nothing more."""
    if len(expression.items) != 1 or expression.without or expression.items[0] != Item(expression.items[0].key):
        return None
    return expression.items[0].key
