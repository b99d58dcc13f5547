"""Reading of phrases by rules: only a phrase of which every word is known is read, so nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.data.language.grammar import is_plural
from medvlsam2.data.query.objects import (
    Condition,
    Item,
    ObjectExpression,
    OfSize,
    OnSide,
    Part,
    Pick,
    Place,
    Relation,
    Size,
    Where,
)
from medvlsam2.data.structures.table import Side
from medvlsam2.tasks.phrases.reading.names import Name, names_in
from medvlsam2.tasks.phrases.reading.words import listed, starts_with, table, wordings
from medvlsam2.tasks.phrases.wholes import is_row


class _Unread(Exception):
    """A word that this reader does not know, or that stands where it means nothing."""


def read_controlled(words: Sequence[str]) -> ObjectExpression | None:
    """The expression that a phrase means; None if this reader does not know all of its words.

    Args:
        words: of the phrase, in small letters and without articles (``words_of``).

    Example:
        >>> from medvlsam2.tasks.phrases.reading.words import words_of
        >>> str(read_controlled(words_of("the vertebra below T12")))
        'vertebrae next below T12 vertebra'
        >>> read_controlled(words_of("the kidney that hurts")) is None
        True
    """
    try:
        return _Reader(list(words), {name.start: name for name in names_in(words)}).expression()
    except _Unread:
        return None


@dataclass(frozen=True)
class _Before:
    """What stands before a name."""

    pick: Pick | None = None
    part: Part | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass
class _Reader:
    """One pass over the words of a phrase."""

    words: list[str]
    names: dict[int, Name]
    at: int = 0

    def expression(self) -> ObjectExpression:
        kept = self._union()
        left_out = self._union() if self._one_of("without") else ()
        if self._rest():
            raise _Unread
        return ObjectExpression(kept, left_out)

    def _union(self) -> tuple[Item, ...]:
        items = [*self._items()]
        while self._one_of("and"):
            items += self._items()
        return tuple(items)

    def _items(self) -> tuple[Item, ...]:
        """One name with all that describes it; several items for a group of names such as "lower lobes"."""
        before = self._before_the_name()
        if before.pick is not None and self._is_plural_without_of():
            raise _Unread
        name = self._name()
        part, conditions = before.part, list(before.conditions)
        while (condition := self._condition(name)) is not None:
            if not isinstance(condition, str):
                conditions.append(condition)
            elif part is None:
                part = cast("Part", condition)
            else:
                raise _Unread
        if before.pick is not None:
            _require_several(name.keys)
        return tuple(Item(key, before.pick, part, tuple(dict.fromkeys(conditions))) for key in name.keys)

    def _before_the_name(self) -> _Before:
        """What stands before a name: choice, part and side in any order."""
        before = _Before()
        while self._skip() or self.at not in self.names:
            if not self._rest():
                raise _Unread
            before = self._with_next(before)
        return before

    def _with_next(self, before: _Before) -> _Before:
        part = self._meaning("parts") if before.part is None else None
        if part is not None:
            return replace(before, part=cast("Part", part))
        pick = self._meaning("picks") if before.pick is None else None
        if pick is not None:
            return replace(before, pick=cast("Pick", pick))
        side = self._meaning("sides")
        if side is None:
            raise _Unread
        return replace(before, conditions=(*before.conditions, OnSide(cast("Side", side))))

    def _condition(self, name: Name) -> Condition | str | None:
        """What follows a name and describes it; a text is a part by region ("in the belly")."""
        self._skip()
        size = self._size()
        if size is not None:
            return size
        region = None if _is_finding(name) else self._meaning("regions")
        if region is not None:
            return region
        relation = cast("Relation | None", self._meaning("relations"))
        if relation is None:
            side = cast("Side | None", self._meaning("sides"))
            return None if side is None else OnSide(side)
        is_one = not is_plural(self.words[name.stop - 1])
        return Where(_counted(relation, name) if is_one else relation, self._place(relation))

    def _place(self, relation: Relation) -> Place:
        self._skip()
        pick = cast("Pick | None", self._meaning("picks"))
        self._skip()
        if self.at not in self.names:
            raise _Unread
        name = self._name()
        if len(name.keys) > 1:
            raise _Unread
        if pick is not None:
            _require_several(name.keys)
        if relation in ("nearest to", "farthest from") and self._rest() and self._rest()[0] in listed("surface"):
            self.at += 1
        return Place(name.keys[0], pick)

    def _size(self) -> OfSize | None:
        start = self.at
        size = cast("Size | None", self._meaning("sizes"))
        rest = self._rest()
        if size is None or len(rest) < 2 or rest[1] not in ("mm", "cm") or not rest[0][0].isdigit():
            self.at = start
            return None
        self.at += 2
        return OfSize(size, round(float(rest[0].replace(",", ".")) * (10 if rest[1] == "cm" else 1), 2))

    def _is_plural_without_of(self) -> bool:
        """Whether some of several are chosen ("lower ribs"), and not one of them ("the lower of the ribs")."""
        last = self.words[self.names[self.at].stop - 1]
        return is_plural(last) and (self.at == 0 or self.words[self.at - 1] not in ("of", "both", "two"))

    def _name(self) -> Name:
        name = self.names[self.at]
        self.at = name.stop
        return name

    def _meaning(self, name: str) -> str | None:
        """The meaning of the next words in a table, by its longest wording; the words are then read."""
        rest = self._rest()
        fitting = [
            (len(wording), meaning)
            for meaning, each in table(name).items()
            for wording in each
            if starts_with(rest, wording)
        ]
        if not fitting:
            return None
        length, meaning = max(fitting, key=lambda one: one[0])
        self.at += length
        return meaning

    def _one_of(self, name: str) -> bool:
        self._skip()
        wording = next((each for each in wordings(name) if starts_with(self._rest(), each)), None)
        self.at += 0 if wording is None else len(wording)
        return wording is not None

    def _skip(self) -> bool:
        """Pass over words that change nothing; False, so that it can stand in a condition."""
        while self._rest() and self._rest()[0] in listed("noise") and self.at not in self.names:
            if (self._rest()[0] == "of" and self._is_place_next()) or self._begins_a_relation():
                break
            self.at += 1
        return False

    def _begins_a_relation(self) -> bool:
        """Whether a word that else changes nothing begins a relation ("one level below")."""
        wordings = (wording for each in table("relations").values() for wording in each if len(wording) > 1)
        return any(starts_with(self._rest(), wording) for wording in wordings)

    def _is_place_next(self) -> bool:
        """Whether "of" stands between two names, and so means "in"."""
        return any(name.stop == self.at for name in self.names.values())

    def _rest(self) -> list[str]:
        return self.words[self.at :]


def _counted(relation: Relation, name: Name) -> Relation:
    """Of vertebrae and ribs "above" and "below" mean the next one, if one is asked for."""
    if relation in ("above", "below") and all(is_row(key) for key in name.keys):
        return "next above" if relation == "above" else "next below"
    return relation


def _is_finding(name: Name) -> bool:
    return any(vocabulary.STRUCTURES[key].is_finding for key in name.keys)


def _require_several(keys: Sequence[str]) -> None:
    """Nobody chooses the largest of one liver."""
    for key in keys:
        known = vocabulary.STRUCTURES[key]
        is_many = known.is_finding or is_pair(key) or key == "lymph_node"
        if not is_many and not is_row(key):
            raise _Unread
