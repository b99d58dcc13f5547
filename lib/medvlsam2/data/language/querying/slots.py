"""Texts for the slots of a question's pattern: the object, its number, the measure, the unit, the order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import join, pick
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.naming import Spoken
from medvlsam2.data.language.querying.patterns import Split, content, words
from medvlsam2.data.language.querying.phrasing import spoken
from medvlsam2.data.language.wording import ON_SCAN
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import (
    Measure,
    Query,
    Unit,
)

_VERBS: Final = (
    *(
        ("does {the}", "do {the}"),
        ("has {the}", "have {the}"),
        ("was {the}", "were {the}"),
        ("is my {x}", "are my {x}"),
    ),
    *(("{the} has", "{the} have"), ("{the} looks", "{the} look"), ("{the} seems", "{the} seem")),
    *(
        ("{the} reaches", "{the} reach"),
        ("{the} extends", "{the} extend"),
        ("{the} lies", "{the} lie"),
        ("{the} sits", "{the} sit"),
    ),
    *(
        ("{the} starts", "{the} start"),
        ("{the} ends", "{the} end"),
        ("{the} goes", "{the} go"),
        ("{the} was", "{the} were"),
    ),
)
"""Verbs before or after the object, in the singular and the plural."""


@dataclass(frozen=True)
class Question:
    """A query and one wording of it, tidy; ``noise.typed`` makes it look typed."""

    query: Query
    text: str
    elliptic: bool = False
    """Whether the text is hardly more than a name: after another question it would be a rest of that one."""


UNITS_OF: Final[dict[Measure, tuple[Unit, ...]]] = {
    "volume": ("mL", "mL", "mL", "L"),
    "length": ("mm", "cm"),
    "short axis": ("mm", "cm"),
    "density": ("HU",),
}

_SUPERLATIVE = ("max", "long", "greatest", "total", "overall", "size", "short")
"""Beginnings of words for a measure that "largest" cannot stand before: "largest maximum diameter"."""
_AFTER_NOUN = re.compile(r"^of | (?:in|by) ")
_DENIED: Final[dict[Unit, tuple[Unit, ...]]] = {
    "mL": ("cm", "mm", "L"),
    "L": ("mL", "cm"),
    "mm": ("cm", "cm", "mL"),
    "cm": ("mm", "mm", "mL"),
    "HU": ("mm", "cm", "mL"),
    "%": ("mL", "cm"),
}
"""Units that someone who wants the unit may deny: "in mL, not in cm"."""
CHOSEN_NUMBERS: Final[dict[Unit, tuple[float, ...]]] = {
    "mL": (2, 5, 10, 20, 50, 80, 120, 150, 200, 250, 400, 700, 1100, 1500),
    "L": (0.5, 1, 1.5, 2, 3, 4, 5),
    "mm": (3, 5, 8, 10, 12, 15, 20, 30, 45, 60, 90, 120),
    "cm": (0.5, 1, 1.5, 2, 3, 4, 5, 8, 10, 12, 15),
    "HU": (-100, -10, 0, 10, 20, 40, 60, 100, 150),
    "%": (5, 10, 20, 30, 40, 50, 60, 80),
}
"""Numbers that stand as choices after a question."""
_VESSEL = ("aorta", "artery", "vein", "vena", "trunk", "bile_duct", "ureter", "trachea", "appendix", "esophagus")


def unit_word(unit: Unit, rng: np.random.Generator) -> str:
    """A unit in one of its notations."""
    return pick(rng, words(content("measure_words")["units"][unit]))


def object_slots(target: ObjectExpression, rng: np.random.Generator, split: Split) -> dict[str, str]:
    """Return the texts of the slots about the object of a question."""
    phrase = spoken(target, rng, split)
    return {
        "the": phrase.the if rng.random() < 0.85 else phrase.one,
        "x": phrase.one,
        "xs": phrase.many,
        "a": phrase.a,
        "any": pick(rng, (phrase.a, f"any {phrase.many}", f"any {phrase.one}")),
        "is": phrase.be,
        "adj": _adjective(target, phrase),
    }


def agreeing(pattern: str, slots: Mapping[str, str]) -> str:
    """Return a pattern whose verbs agree with a plural object: "do the kidneys", not "does the kidneys".

    Example:
        >>> agreeing("does {the} touch it?", {"is": "are"}), agreeing("does {the} touch it?", {"is": "is"})
        ('do {the} touch it?', 'does {the} touch it?')
    """
    if slots["is"] == "is":
        return pattern
    for one, several in _VERBS:
        pattern = pattern.replace(one, several)
    return pattern


def second_slots(target: ObjectExpression, rng: np.random.Generator, split: Split) -> dict[str, str]:
    """Return the texts of the slots about a second object."""
    phrase = spoken(target, rng, split)
    return {"the2": phrase.the if rng.random() < 0.85 else phrase.one, "x2": phrase.one}


def _adjective(target: ObjectExpression, phrase: Spoken) -> str:
    """Return "hepatic" for the liver alone; else the noun itself: "sternum length"."""
    item = target.items[0]
    adjective = anatomy.adjective(item.key)
    plain = str(target) == vocabulary.STRUCTURES[item.key].name
    return adjective if adjective is not None and plain else phrase.one


def unit_slots(pattern: str, units: Sequence[Unit], rng: np.random.Generator) -> tuple[Unit | None, dict[str, str]]:
    """The unit that a pattern asks for, and the texts of its slots for units.

    ``{choices}`` are three numbers in the unit, which is then asked for; ``{other_unit}`` is a unit that is denied.
    """
    unit: Unit = pick(rng, units)
    word = unit_word(unit, rng)
    asked = any(slot in pattern for slot in ("{unit}", "{length_unit}", "{choices}"))
    told = asked or ("{in_unit}" in pattern and rng.random() < 0.4)
    place = pick(rng, (f" in {word}", f" in {word}", f" [{word}]", f" ({word})", f", in {word}"))
    slots = {"unit": word, "length_unit": word, "in_unit": place if told else ""}
    slots |= {"choices": _choices(unit, word, rng), "other_unit": unit_word(pick(rng, _DENIED[unit]), rng)}
    return unit if told else None, slots


def _choices(unit: Unit, word: str, rng: np.random.Generator) -> str:
    """Three different numbers in a unit, as the choices of a question are typed after it."""
    numbers = sorted({float(value) for value in rng.choice(CHOSEN_NUMBERS[unit], size=3, replace=False)})
    texts = [f"{value:g}" for value in numbers]
    forms = [f"{join(texts, 'or')} {word}"] * 3 + [join([f"{text} {word}" for text in texts], "or")] * 2
    forms += [f"{'/'.join(texts)} {word}", f"{' - '.join(texts)} {word}", f"{join(texts[:2], 'or')} {word}"]
    lettered = " ".join(f"{letter}) {text} {word}" for letter, text in zip("ABC", texts, strict=True))
    return pick(rng, [*forms, lettered])


def order_slots(kind: Measure, order: str, rng: np.random.Generator, *, before_noun: bool = False) -> dict[str, str]:
    """Return the texts of the slots that compare.

    Args:
        kind: what is compared.
        order: "more" or "less".
        rng: random generator.
        before_noun: whether the words stand before a noun, as in "larger kidney", where "larger in volume" cannot.
    """
    table = content("measure_words")
    most = "most" if order == "more" else "least"
    high = order == "more"
    plain = [word for word in words(table["measures"][kind]) if not word.startswith(_SUPERLATIVE)]
    compared = [word for word in words(table[order][kind]) if not (before_noun and _AFTER_NOUN.search(word))]
    return {
        "more": pick(rng, compared),
        "most": pick(rng, words(table[most][kind])),
        "greater": pick(rng, ("greater", "larger", "higher", "bigger") if high else ("smaller", "less", "lower")),
        "greatest": pick(
            rng, ("greatest", "largest", "highest", "biggest") if high else ("smallest", "lowest", "least")
        ),
        "measure": pick(rng, plain),
    }


def measure_word(kind: Measure, rng: np.random.Generator) -> str:
    """Return a word for a measure."""
    return pick(rng, words(content("measure_words")["measures"][kind]))


def measured_object(kind: Measure, rng: np.random.Generator) -> ObjectExpression:
    """Return a random object that is measured in this way."""
    chance = rng.random()
    if kind == "short axis":
        if chance < 0.45:
            vessels = [
                key
                for key in vocabulary.STRUCTURES
                if any(word in key for word in _VESSEL) and key != "aortic_aneurysm"
            ]
            return drawing.one(Item(pick(rng, ("aorta", "aorta", *vessels))))
        return drawing.part(rng) if chance < 0.6 else drawing.finding(rng)
    if chance < 0.5:
        return drawing.structure(rng)
    return drawing.finding(rng) if chance < 0.75 else drawing.random_object(rng)


def is_vessel(target: ObjectExpression) -> bool:
    """Return whether the object is a vessel or another tube, whose diameter is its short axis."""
    return not drawing.is_finding(target) and any(word in target.items[0].key for word in _VESSEL)


def tail(rng: np.random.Generator) -> str:
    """Return the end of a question about the scan, e.g. " on this CT"; mostly nothing."""
    return "" if rng.random() < 0.5 else pick(rng, ON_SCAN)
