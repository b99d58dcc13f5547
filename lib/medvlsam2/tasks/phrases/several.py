"""How many objects a phrase names: "left kidney and spleen" are two, "portal vein and splenic vein" is one name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases import wholes
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.sides import LEFT, RIGHT
from medvlsam2.tasks.phrases.unclear import require_clear, short

_BETWEEN: Final = re.compile(
    r"\s*[;,\n]\s*(?:and\s+|or\s+|plus\s+)?|\s+(?:and|plus|or|as well as|together with|along with|und|et|y)\s+|"
    r"\s*[&+/|\\]\s*",
    re.IGNORECASE,
)
_RELATION: Final = re.compile(
    r"\b(?:between|opposite|near|next to|beside|adjacent|above|below|with|from|to|than)\b",
    re.IGNORECASE,
)
"""Words after which "and" may belong to a place, not to a list: "the vertebra between L1 and L3"."""
_PLACE: Final = re.compile(r"\b(?:in|of|on|at|within|inside)\b", re.IGNORECASE)
_BOTH_SIDES: Final = re.compile(
    r"\b(?:left\s*(?:and|&|/|,)\s*right|right\s*(?:and|&|/|,)\s*left|both)\s+", re.IGNORECASE
)
_POINTS_BACK: Final = re.compile(r"\b(?:its|their|his|her|it|them)\b", re.IGNORECASE)
_SIDE: Final = re.compile(r"\b(left|right|lt|rt)\b", re.IGNORECASE)
MOST_WORDS: Final = 40
"""A longer phrase is no list of names without commas."""


def objects_in(phrase: str) -> tuple[str, ...]:
    """The phrases of the single objects that a phrase names, in order, each once.

    Raises:
        InvalidPrompt: where the phrase can be read in two ways or as something else than it says, or gives one object
            two sides.

    Example:
        >>> objects_in("the left kidney, spleen and liver")
        ('the left kidney', 'spleen', 'liver')
        >>> objects_in("portal vein and splenic vein"), objects_in("the largest cyst in the liver")
        (('portal vein and splenic vein',), ('the largest cyst in the liver',))
    """
    whole = phrase.strip()
    require_clear(whole)
    parts = [part for part in _BETWEEN.split(_BOTH_SIDES.sub("", whole)) if part.strip()]
    if len(parts) < 2:
        parts = list(_side_by_side(whole))
    _require_one_side_each(whole, parts)
    if _RELATION.search(_BETWEEN.sub(", ", whole)):
        return (whole,)
    if len(parts) < 2:
        return (whole,)
    if _is_one_name(whole, parts):
        return (whole,)
    if _is_one_site_of_two(parts) or _leaves_the_side_open(parts) or any(map(_POINTS_BACK.search, parts)):
        raise InvalidPrompt(
            f"'{short(whole)}' can be read in two ways. Name every object in full, with its side and its place, and "
            "a comma between: e.g. 'left kidney, left ureter' or 'cyst in the liver, cyst in the spleen'."
        )
    unclear = [part for part in parts if not _names_something(part)]
    if unclear and _names_something(whole):
        raise InvalidPrompt(
            f"'{short(whole)}' names more than one object, and '{short(unclear[0])}' is none that the model knows. "
            f"Did you mean {', '.join(vocabulary.nearest(unclear[0]))}? Write every object in full."
        )
    return (whole,) if unclear else _each_once(parts)


def require_one(phrase: str) -> None:
    """Refuse a phrase of several objects where only one has a place.

    Raises:
        InvalidPrompt: if it names several, or can be read in two ways.
    """
    objects = objects_in(phrase)
    if len(objects) > 1:
        raise InvalidPrompt(
            f"'{short(phrase)}' names {len(objects)} objects ({', '.join(map(short, objects))}), and one segment "
            "holds one. Ask for each of them."
        )


def _require_one_side_each(whole: str, parts: list[str]) -> None:
    """Refuse "left right kidney", where both sides are said of one object, and "left lung and right"."""
    for part in parts:
        is_left, is_right = (side.search(_BOTH_SIDES.sub("", part)) is not None for side in (LEFT, RIGHT))
        is_side_alone = (is_left or is_right) and re.sub(r"\W", "", RIGHT.sub("", LEFT.sub("", part))) == ""
        if (is_left and is_right) or is_side_alone:
            raise InvalidPrompt(
                f"'{short(whole)}' does not say clearly which side is meant. Give every object one side and its name, "
                "e.g. 'left kidney' or 'left kidney, right kidney'."
            )


def _is_one_name(whole: str, parts: list[str]) -> bool:
    """Whether the vocabulary has one name for all of it, not just for one of its parts ("kidney and renal cyst").

    "left kidney, right kidney" are two names, though the vocabulary reads them as the kidneys.
    """
    known = vocabulary.lookup(whole)
    if known is None or known in [vocabulary.lookup(part) for part in parts]:
        return False
    is_written_so = whole.casefold() in (text.casefold() for text in (known.name, *known.synonyms))
    return is_written_so or not _are_parts(parts, known)


def _are_parts(parts: list[str], whole: vocabulary.Structure) -> bool:
    """Whether each of some phrases names a part of a structure of its own."""
    named = [vocabulary.lookup(part) for part in parts]
    return all(one is not None and one.key in wholes.parts_of(whole.key) for one in named)


def _side_by_side(whole: str) -> tuple[str, ...]:
    """Names with nothing between them ("liver spleen stomach"), none a part of another, or one phrase."""
    known, names = vocabulary.lookup(whole), _names_in_a_row(whole.split())
    if len(names) < 2 or any(_are_nested(one, other) for one, other in combinations(names, 2)):
        return (whole,)
    return _each_once(names) if known is None or _are_parts(names, known) else (whole,)


def _names_in_a_row(words: Sequence[str]) -> list[str]:
    """The fewest names of anatomy, each with one side at most, that make up all the words; none where none do."""
    if len(words) > MOST_WORDS:
        return []
    fewest: list[list[str] | None] = [None] * len(words) + [[]]
    for start in reversed(range(len(words))):
        for end in range(start + 1, len(words) + 1):
            name, rest = " ".join(words[start:end]), fewest[end]
            best = fewest[start]
            if rest is not None and (best is None or len(rest) + 1 < len(best)) and _is_one_organ(name):
                fewest[start] = [name, *rest]
    return fewest[0] or []


def _is_one_organ(name: str) -> bool:
    return _is_anatomy(name) and len(LEFT.findall(name)) + len(RIGHT.findall(name)) < 2


def _are_nested(one: str, other: str) -> bool:
    keys = [structure.key for structure in map(vocabulary.lookup, (one, other)) if structure is not None]
    return any(key in wholes.parts_of(whole) for key in keys for whole in keys) or len(set(keys)) < len(keys)


def _names_something(part: str) -> bool:
    words = plain(part)
    return vocabulary.lookup(words) is not None or bool(structures_in(words)) or _has_known_word(words)


def _has_known_word(part: str) -> bool:
    return any(vocabulary.lookup(word) is not None for word in part.split())


def _is_one_site_of_two(parts: list[str]) -> bool:
    """Whether what follows may go on a list of places: "cyst in the liver and the spleen"."""
    return any(
        _PLACE.search(one) and not _is_anatomy(one) and _is_anatomy(following) for one, following in pairwise(parts)
    )


def _is_anatomy(part: str) -> bool:
    structure = vocabulary.lookup(part)
    return structure is not None and not structure.is_finding


def _leaves_the_side_open(parts: list[str]) -> bool:
    """Whether a side may hold for what follows too: "left lung and kidney" may mean the left kidney."""
    sided = False
    for part in parts:
        structure = vocabulary.lookup(part)
        if sided and structure is not None and _SIDE.search(part) is None and wholes.is_pair(structure):
            return True
        sided = sided or _SIDE.search(part) is not None
    return False


def _each_once(parts: list[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for part in parts:
        known = vocabulary.lookup(plain(part))
        found.setdefault(known.key if known is not None else part.lower().strip(), part.strip())
    return tuple(found.values())
