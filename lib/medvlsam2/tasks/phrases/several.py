"""Splitting of a phrase into its objects: "left kidney and spleen" are two, "portal vein and splenic vein" is one name.

The order of the checks in ``objects_in`` matters:

1. ``unclear`` refuses phrases that the model would misread.
2. The phrase is split at commas and words such as "and", or into names without anything between them.
3. The phrase stays whole if it describes a place by another structure, or is one name of the vocabulary.
4. Phrases with two readings are refused: "left lung and kidney", "cyst in the liver and the spleen".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.data.query.words.series_names import written_out
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases import wholes
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.sides import LEFT, RIGHT
from medvlsam2.tasks.phrases.unclear import NotOneObject, require_clear, short

_BETWEEN: Final = re.compile(
    r"\s*[;,\n]\s*(?:and\s+|or\s+|plus\s+)?|\s+(?:and|plus|or|as well as|together with|along with|und|et|y)\s+|"
    r"\s*[&+/|\\]\s*",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(r"\s*[;,\n]\s*(?:and\s+|plus\s+)?", re.IGNORECASE)
"""Marks between objects of a list, for phrases in which "and" may stand within one object."""
_RELATION: Final = re.compile(
    r"\b(?:between|opposite|near|next to|beside|adjacent|above|below|with|from|to|than)\b",
    re.IGNORECASE,
)
"""Words after which "and" may belong to a place and not to a list: "the vertebra between L1 and L3"."""
_PLACE: Final = re.compile(r"\b(?:in|of|on|at|within|inside)\b", re.IGNORECASE)
_BOTH_SIDES: Final = re.compile(
    r"\b(?:left\s*(?:and|&|/|,)\s*right|right\s*(?:and|&|/|,)\s*left|both)\s+", re.IGNORECASE
)
_POINTS_BACK: Final = re.compile(r"\b(?:its|their|his|her|it|them)\b", re.IGNORECASE)
_SIDE: Final = re.compile(r"\b(left|right|lt|rt)\b", re.IGNORECASE)
MOST_WORDS: Final = 40
"""Most words of a list of names without commas; the search for names in a row takes quadratic time."""


def objects_in(phrase: str) -> tuple[str, ...]:
    """Return the phrases of the single objects that a phrase names, in order, each once.

    Raises:
        InvalidPrompt: if the phrase can be read in two ways, if the model would misread it, or if it gives one object
            two sides.

    Example:
        >>> objects_in("the left kidney, spleen and liver")
        ('the left kidney', 'spleen', 'liver')
        >>> objects_in("portal vein and splenic vein"), objects_in("the largest cyst in the liver")
        (('portal vein and splenic vein',), ('the largest cyst in the liver',))
    """
    whole = written_out(phrase.strip())
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


def requested(phrase: str) -> tuple[str, ...]:
    """Return the phrases of the objects of a request, like :func:`objects_in`; a phrase to be composed stays whole.

    Whether a phrase can be composed is known only with the model (:mod:`medvlsam2.tasks.composing`).

    Raises:
        InvalidPrompt: as :func:`objects_in` does, but not for what a single mask of a name cannot answer.

    Example:
        >>> requested("both lungs without the lower lobes"), requested("spleen, the larger kidney")
        (('both lungs without the lower lobes',), ('spleen', 'the larger kidney'))
    """
    try:
        return objects_in(phrase)
    except NotOneObject:
        parts = [part.strip() for part in _LISTED.split(phrase) if part.strip()]
        names = [vocabulary.lookup(plain(part)) is not None for part in parts]
    if len(parts) < 2 or not any(names):
        return (phrase.strip(),)
    if names[-1]:
        raise InvalidPrompt(
            f"'{short(phrase.strip())}' can be read in two ways. Name '{short(parts[-1])}' first, or ask for it alone."
        ) from None
    return _each_once(parts)


def require_one(phrase: str) -> None:
    """Refuse a phrase that names several objects, for requests that allow only one.

    Raises:
        InvalidPrompt: if the phrase names several objects, or can be read in two ways.
    """
    objects = requested(phrase)
    if len(objects) > 1:
        raise InvalidPrompt(
            f"'{short(phrase)}' names {len(objects)} objects ({', '.join(map(short, objects))}); one segment "
            "holds one object. Ask for each of them."
        )


def _require_one_side_each(whole: str, parts: list[str]) -> None:
    """Refuse an object with two sides ("left right kidney"), and a side without a name ("left lung and right")."""
    for part in parts:
        is_left, is_right = (side.search(_BOTH_SIDES.sub("", part)) is not None for side in (LEFT, RIGHT))
        is_side_alone = (is_left or is_right) and re.sub(r"\W", "", RIGHT.sub("", LEFT.sub("", part))) == ""
        if (is_left and is_right) or is_side_alone:
            raise InvalidPrompt(
                f"'{short(whole)}' does not say clearly which side is meant. Give every object one side and its name, "
                "e.g. 'left kidney' or 'left kidney, right kidney'."
            )


def _is_one_name(whole: str, parts: list[str]) -> bool:
    """Return whether the whole phrase is one name of the vocabulary, and not only one of its parts.

    "kidney and renal cyst" is not one name. "left kidney, right kidney" are two names, although the vocabulary
    understands the phrase as "kidneys".
    """
    known = vocabulary.lookup(whole)
    if known is None or known in [vocabulary.lookup(part) for part in parts]:
        return False
    is_written_so = whole.casefold() in (text.casefold() for text in (known.name, *known.synonyms))
    return is_written_so or not _are_parts(parts, known)


def _are_parts(parts: list[str], whole: vocabulary.Structure) -> bool:
    """Return whether each phrase names a part of the structure ``whole``."""
    structures = [vocabulary.lookup(part) for part in parts]
    return all(part is not None and part.key in wholes.held_by(whole.key) for part in structures)


def _side_by_side(whole: str) -> tuple[str, ...]:
    """Return the names of a phrase with nothing between them ("liver spleen stomach"), or the phrase itself.

    The phrase is not split if one name would be a part of another.
    """
    known, names = vocabulary.lookup(whole), _names_in_a_row(whole.split())
    if len(names) < 2 or any(_are_nested(first, second) for first, second in combinations(names, 2)):
        return (whole,)
    return _each_once(names) if known is None or _are_parts(names, known) else (whole,)


def _names_in_a_row(words: Sequence[str]) -> list[str]:
    """Return the fewest names of anatomy, each with at most one side, that together are all the words.

    ``fewest[start]`` holds the shortest list for ``words[start:]``; it is filled from the end (dynamic programming).
    The result is empty if no names fit.
    """
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


def _are_nested(first: str, second: str) -> bool:
    keys = [structure.key for structure in map(vocabulary.lookup, (first, second)) if structure is not None]
    return any(key in wholes.held_by(whole) for key in keys for whole in keys) or len(set(keys)) < len(keys)


def _names_something(part: str) -> bool:
    words = plain(part)
    return vocabulary.lookup(words) is not None or bool(structures_in(words)) or _has_known_word(words)


def _has_known_word(part: str) -> bool:
    return any(vocabulary.lookup(word) is not None for word in part.split())


def _is_one_site_of_two(parts: list[str]) -> bool:
    """Return whether a part may continue a list of places: "cyst in the liver and the spleen"."""
    return any(
        _PLACE.search(part) and not _is_anatomy(part) and _is_anatomy(following) for part, following in pairwise(parts)
    )


def _is_anatomy(part: str) -> bool:
    structure = vocabulary.lookup(part)
    return structure is not None and not structure.is_finding


def _leaves_the_side_open(parts: list[str]) -> bool:
    """Return whether a side may also apply to a later part: "left lung and kidney" may mean the left kidney."""
    sided = False
    for part in parts:
        structure = vocabulary.lookup(part)
        if sided and structure is not None and _SIDE.search(part) is None and is_pair(structure.key):
            return True
        sided = sided or _SIDE.search(part) is not None
    return False


def _each_once(parts: list[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for part in parts:
        known = vocabulary.lookup(plain(part))
        found.setdefault(known.key if known is not None else part.lower().strip(), part.strip())
    return tuple(found.values())
