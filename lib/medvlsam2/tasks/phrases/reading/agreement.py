"""Whether an expression that a model wrote says what its phrase says: names, sides, numbers, directions, choices.

A model that writes under a grammar can still choose a wrong word. Nothing of a phrase that decides what is marked may
be left out or turned round; sides, numbers and what is left out may not be added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import leaves
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Place, sizes_mm
from medvlsam2.tasks.phrases.reading.names import Name, names_in
from medvlsam2.tasks.phrases.reading.words import known_words, listed, starts_with, table, wordings
from medvlsam2.tasks.phrases.wholes import held_by

_SENSES: Final[Mapping[str, tuple[str, ...]]] = {
    "up": ("highest", "upper half", "upper third", "above", "next above"),
    "down": ("lowest", "lower half", "lower third", "below", "next below"),
    "left": ("leftmost", "left half", "left of", "left"),
    "right": ("rightmost", "right half", "right of", "right"),
    "front": ("foremost", "front half", "in front of"),
    "back": ("rearmost", "back half", "behind"),
    "large": ("largest", "second largest", "larger than"),
    "small": ("smallest", "smaller than"),
    "dense": ("densest",),
    "faint": ("least dense",),
    "near": ("nearest to",),
    "far": ("farthest from",),
    "thorax": ("thoracic part",),
    "abdomen": ("abdominal part",),
    "pelvis": ("pelvic part",),
}
"""Senses of the parts of an expression, which a phrase must share."""
_OPPOSITE: Final = {
    **{"up": "down", "left": "right", "front": "back", "large": "small", "dense": "faint", "near": "far"},
    **{"down": "up", "right": "left", "back": "front", "small": "large", "faint": "dense", "far": "near"},
}
_SENSE_OF: Final = {meaning: sense for sense, meanings in _SENSES.items() for meaning in meanings}
_TABLES: Final = ("picks", "parts", "relations", "sizes", "sides")


def disagreement(words: Sequence[str], expression: ObjectExpression) -> str | None:
    """What an expression leaves out of its phrase, turns round or adds, as the end of a sentence; None if they agree.

    Args:
        words: of the phrase (``words_of``).
        expression: as it was written.
    """
    names = names_in(words)
    unsupported = next((word for word in _unjoined(_outside(words, names)) if word in listed("unsupported")), None)
    if unsupported is not None:
        return f"and cannot say '{unsupported}'"
    return (
        _wrong_names(names, words, expression)
        or _wrong_senses(set(_said(words, names)), expression)
        or _wrong_numbers(words, expression)
        or _wrong_without(words, expression)
    )


def unused_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a phrase that are neither names nor words of the tables."""
    outside = _outside(words, names_in(words))
    return tuple(dict.fromkeys(word for word in outside if word.isalpha() and word not in known_words()))


def _unjoined(words: Sequence[str]) -> list[str]:
    """The words without those of wordings that are known as a whole ("other than", "but not", "not larger than")."""
    known = [*wordings("without"), *(wording for each in table("sizes").values() for wording in each)]
    at, kept = 0, list[str]()
    while at < len(words):
        wording = next((each for each in known if starts_with(words[at:], each)), None)
        kept += [] if wording else [words[at]]
        at += len(wording or (1,))
    return kept


def _wrong_names(names: Sequence[Name], words: Sequence[str], expression: ObjectExpression) -> str | None:
    parts = {item.part for item in (*expression.items, *expression.without)}
    used = {*expression.keys, *(["pelvis"] if "pelvic part" in parts else [])}
    for name in names:
        if not any(_are_related(key, other) for key in name.keys for other in used):
            return f"and leaves out '{' '.join(words[name.start : name.stop])}'"
    return None


def _are_related(key: str, other: str) -> bool:
    """Whether one name is the other, a whole or a part of it, or a general word for it ("cyst", "liver cyst")."""
    if key == other or key in held_by(other) or other in held_by(key) or not leaves(key).isdisjoint(leaves(other)):
        return True
    first, second = vocabulary.STRUCTURES[key], vocabulary.STRUCTURES[other]
    if first.is_finding and second.is_finding:
        short, long = sorted((set(first.name.split()), set(second.name.split())), key=len)
        return short <= long
    found = first if first.is_finding else second if second.is_finding else None
    organ = other if found is first else key
    return found is not None and found.site is not None and _are_related(found.site, organ)


def _wrong_senses(said: set[str], expression: ObjectExpression) -> str | None:
    written = set(_written(expression))
    in_names = {sense for key in expression.keys for sense in _of_name(key)}
    for sense in written - said:
        if _OPPOSITE.get(sense) in said and _OPPOSITE.get(sense) not in written:
            return f"which turns '{_OPPOSITE[sense]}' round"
        if sense in ("left", "right"):
            return f"and adds the {sense} side"
    missing = said - written - in_names
    if missing:
        return f"and leaves out that it is about '{min(missing)}'"
    added = {sense for sense in in_names & {"left", "right"} if _OPPOSITE[sense] in said and sense not in said}
    return f"and adds the {min(added)} side" if added and _OPPOSITE[min(added)] not in written | in_names else None


def _of_name(key: str) -> Iterator[str]:
    words = set(vocabulary.STRUCTURES[key].name.split())
    yield from words & {"left", "right"}
    if words & {"upper", "superior"}:
        yield "up"
    if words & {"lower", "inferior"}:
        yield "down"


def _said(words: Sequence[str], names: Sequence[Name]) -> Iterator[str]:
    """Senses of the words that are no part of a name, and the sides of names."""
    taken = {number for name in names for number in range(name.start, name.stop)}
    for name in names:
        yield from (side for side in ("left", "right") if all(side in _of_name(key) for key in name.keys))
    at = 0
    while at < len(words):
        length, meaning = _longest(words, at) if at not in taken else (1, None)
        if meaning in _SENSE_OF:
            yield _SENSE_OF[meaning]
        at += length


def _longest(words: Sequence[str], at: int) -> tuple[int, str | None]:
    """The longest wording from a word on, and its meaning; before a number "over" and "under" are limits of a size."""
    rest = words[at:]
    fitting = [
        (name == "sizes", len(wording), meaning)
        for name in _TABLES
        for meaning, each in table(name).items()
        for wording in each
        if starts_with(rest, wording) and (name != "sizes" or _is_number(rest[len(wording) :]))
    ]
    _, length, meaning = max(fitting, key=lambda one: one[:2], default=(False, 1, None))
    return length, meaning


def _is_number(words: Sequence[str]) -> bool:
    return bool(words) and words[0][0].isdigit()


def _written(expression: ObjectExpression) -> Iterator[str]:
    for item in (*expression.items, *expression.without):
        for meaning in _meanings(item):
            if meaning in _SENSE_OF:
                yield _SENSE_OF[meaning]


def _meanings(item: Item) -> Iterator[str]:
    yield from (text for text in (item.pick, item.part) if text is not None)
    for condition in item.conditions:
        if isinstance(condition, OnSide):
            yield condition.side
        elif isinstance(condition, OfSize):
            yield condition.size
        else:
            yield from _of_place(condition.relation, condition.place)


def _of_place(relation: str, place: Place) -> Iterator[str]:
    yield relation
    if place.pick is not None:
        yield place.pick


def _wrong_numbers(words: Sequence[str], expression: ObjectExpression) -> str | None:
    written = sizes_mm(expression)
    said = set(_sizes_mm(words))
    if written != said:
        numbers = sorted(written ^ said)
        return f"and does not agree in the number {numbers[0]:g} mm"
    return None


def _sizes_mm(words: Sequence[str]) -> Iterator[float]:
    for number, unit in pairwise(words):
        if re.fullmatch(r"\d+([.,]\d+)?", number) and unit in ("mm", "cm"):
            yield round(float(number.replace(",", ".")) * (10 if unit == "cm" else 1), 2)


def _wrong_without(words: Sequence[str], expression: ObjectExpression) -> str | None:
    is_said = any(starts_with(words[at:], wording) for at in range(len(words)) for wording in wordings("without"))
    if is_said and not expression.without:
        return "and leaves nothing out"
    return "and leaves something out" if expression.without and not is_said else None


def _outside(words: Sequence[str], names: Sequence[Name]) -> list[str]:
    taken = {number for name in names for number in range(name.start, name.stop)}
    return [word for number, word in enumerate(words) if number not in taken]
