"""How many objects a phrase names: "left kidney and spleen" are two, "portal vein and splenic vein" is one name."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import lesions
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases import wholes

_BETWEEN: Final = re.compile(
    r"\s*[;,\n]\s*(?:and\s+|or\s+|plus\s+)?|\s+(?:and|plus|or|as well as|together with|along with)\s+|\s*[&+/]\s*",
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
_LEFT: Final = re.compile(r"\b(?:left|lt|l(?!\W*\d)|sinister|sinistra)\b", re.IGNORECASE)
_RIGHT: Final = re.compile(r"\b(?:right|rt|r(?!\W*\d)|dexter|dextra)\b", re.IGNORECASE)
_NEGATION: Final = re.compile(
    r"\b(?:not|no(?!\W*\d)|without|except(?:ing)?|excluding|(?:other|rather) than|(?:apart|aside) from|instead of|"
    r"minus|neither|nor|never)\b|n['’]t\b",
    re.IGNORECASE,
)
"""Words that say what is not wanted: the model finds what a phrase names, and would find just that. "rib no. 3" is a
number."""


def objects_in(phrase: str) -> tuple[str, ...]:
    """The phrases of the single objects that a phrase names, in order, each once.

    Raises:
        InvalidPrompt: where the phrase can be read in two ways, says what is not wanted, or gives one
            object two sides.

    Example:
        >>> objects_in("the left kidney, spleen and liver")
        ('the left kidney', 'spleen', 'liver')
        >>> objects_in("portal vein and splenic vein"), objects_in("the largest cyst in the liver")
        (('portal vein and splenic vein',), ('the largest cyst in the liver',))
    """
    whole = phrase.strip()
    _require_no_negation(whole)
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
            f"'{_short(whole)}' can be read in two ways. Name every object in full, with its side and its place, and "
            "a comma between: e.g. 'left kidney, left ureter' or 'cyst in the liver, cyst in the spleen'."
        )
    unclear = [part for part in parts if not _names_something(part)]
    if unclear and _names_something(whole):
        raise InvalidPrompt(
            f"'{_short(whole)}' names more than one object, and '{_short(unclear[0])}' is none that the model knows. "
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
            f"'{_short(phrase)}' names {len(objects)} objects ({', '.join(map(_short, objects))}), and one segment "
            "holds one. Ask for each of them."
        )


def _require_no_negation(whole: str) -> None:
    negation = _NEGATION.search(whole)
    if negation is not None and vocabulary.lookup(whole) is None and not _is_other_of_a_pair(whole):
        raise InvalidPrompt(
            f"'{_short(whole)}' says with '{negation.group()}' what is not wanted, and the model looks for what a "
            "phrase names. Name what is wanted, e.g. 'left kidney' rather than 'the kidney that is not on the right'."
        )


def _is_other_of_a_pair(whole: str) -> bool:
    """Whether it is "kidney without the cyst", the one negation that models are taught: a pair, and one finding."""
    one, word, finding = whole.partition(" without ")
    pair, found = vocabulary.lookup(one), vocabulary.lookup(finding)
    is_one_finding = word != "" and ((found is not None and found.is_finding) or finding.split()[-1] in lesions.KINDS)
    return is_one_finding and pair is not None and is_pair(pair) and _NEGATION.search(finding) is None


def _require_one_side_each(whole: str, parts: list[str]) -> None:
    """Refuse "left right kidney", where both sides are said of one object, and "left lung and right"."""
    for part in parts:
        is_left, is_right = (side.search(_BOTH_SIDES.sub("", part)) is not None for side in (_LEFT, _RIGHT))
        is_side_alone = (is_left or is_right) and re.sub(r"\W", "", _RIGHT.sub("", _LEFT.sub("", part))) == ""
        if (is_left and is_right) or is_side_alone:
            raise InvalidPrompt(
                f"'{_short(whole)}' does not say clearly which side is meant. Give every object one side and its name, "
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
    """Two names with nothing between them ("liver spleen"), neither a part of the other, or one phrase."""
    words, known = whole.split(), vocabulary.lookup(whole)
    for end in range(1, len(words)):
        one, other = " ".join(words[:end]), " ".join(words[end:])
        is_list = known is None or _are_parts([one, other], known)
        if is_list and _is_anatomy(one) and _is_anatomy(other) and not _are_nested(one, other):
            return _each_once([one, other])
    return (whole,)


def _are_nested(one: str, other: str) -> bool:
    keys = [structure.key for structure in map(vocabulary.lookup, (one, other)) if structure is not None]
    return any(key in wholes.parts_of(whole) for key in keys for whole in keys) or len(set(keys)) < len(keys)


def _names_something(part: str) -> bool:
    return vocabulary.lookup(part) is not None or bool(structures_in(part)) or _has_known_word(part)


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
        if sided and structure is not None and _SIDE.search(part) is None and is_pair(structure):
            return True
        sided = sided or _SIDE.search(part) is not None
    return False


def is_pair(structure: vocabulary.Structure) -> bool:
    """Whether a structure is a left one and a right one together."""
    return {vocabulary.STRUCTURES[part].side for part in structure.parts} == {"left", "right"}


def _each_once(parts: list[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for part in parts:
        known = vocabulary.lookup(part)
        found.setdefault(known.key if known is not None else part.lower().strip(), part.strip())
    return tuple(found.values())


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
