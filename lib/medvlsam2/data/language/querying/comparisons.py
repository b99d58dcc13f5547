"""Random comparisons with their wordings: ratio, share, difference, which of several, and more or less than."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import join, pick, shuffled
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.naming import single
from medvlsam2.data.language.querying.patterns import Split, expanded, patterns
from medvlsam2.data.language.querying.phrasing import spoken, with_unit
from medvlsam2.data.language.querying.slots import (
    UNITS_OF,
    Question,
    measure_word,
    measured_object,
    object_slots,
    order_slots,
    second_slots,
    unit_slots,
    unit_word,
)
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import (
    AskDifference,
    AskMore,
    AskRatio,
    AskWhich,
    Measure,
)

_PARTS_OF: Final = (
    *("consolidation lungs", "lung_left lungs", "lung_right lungs", "liver_tumor liver", "kidney_left kidneys"),
    *("lung_upper_lobe_right lung_right", "liver_cyst liver", "pleural_effusion lungs", "kidney_cyst kidneys"),
    *("heart_ventricle_left heart", "subcutaneous_fat fat", "torso_fat fat", "lung_tumor lung_left"),
    *("thrombus aorta", "liver_metastasis liver", "lung_lower_lobe_left lung_left", "cerebellum brain", "cyst liver"),
    *("intracranial_hemorrhage brain", "skeletal_muscle body", "fat body", "bone_lesion skeleton", "tumor pancreas"),
)


_NUMBERS: Final[dict[str, Sequence[float]]] = {
    "mL": (5, 10, 20, 50, 100, 150, 200, 250, 300, 500, 1000, 1500, 2000),
    "L": (0.5, 1, 1.5, 2, 3, 5),
    "mm": (5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 55, 100, 120, 130),
    "cm": (1, 1.5, 2, 3, 4, 4.5, 5, 5.5, 10, 12, 13, 15),
    "HU": (0, 10, 20, 40, 45, 50, 60, 100, 130),
}


_OVER = ("over", "above", "more than", "greater than", "exceeding", "higher than", "in excess of", "beyond")
_UNDER = ("under", "below", "less than", "lower than", "smaller than", "beneath", "short of")
_PERCENT_SHARE = 0.2
"""Share of the ratios that are asked for in per cent."""


def ratio(rng: np.random.Generator, split: Split) -> Question:
    """One measure divided by another."""
    kind: Measure = pick(rng, ("volume", "volume", "density", "length", "short axis"))
    first, second = _two(rng)
    percent = rng.random() < _PERCENT_SHARE
    pattern = _pattern("ratio_in_percent" if percent else "ratio", rng, split)
    text = _filled(pattern, kind, (first, second), {}, rng, split=split)
    return Question(AskRatio(kind, first, second, "%" if percent else None), text)


def share(rng: np.random.Generator, split: Split) -> Question:
    """How many per cent one volume is of another."""
    first, second = pick(rng, _PARTS_OF).split()
    whole, piece = drawing.one(Item(second)), drawing.one(Item(first))
    text = _filled(_pattern("share", rng, split), "volume", (piece, whole), {}, rng, split=split)
    return Question(AskRatio("volume", piece, whole, "%"), text)


def difference(rng: np.random.Generator, split: Split) -> Question:
    """By how much two measures differ."""
    kind: Measure = pick(rng, ("volume", "volume", "density", "length", "short axis"))
    first, second = _two(rng)
    pattern = expanded(pick(rng, patterns("difference", split)), rng)
    unit, slots = unit_slots(pattern, UNITS_OF[kind], rng)
    text = _filled(pattern, kind, (first, second), slots, rng, split=split)
    return Question(AskDifference(kind, first, second, unit), text)


def which(rng: np.random.Generator, split: Split) -> Question:
    """Which of some objects has most or least of a measure."""
    kind: Measure = pick(rng, ("volume",) * 5 + ("density", "density", "length", "short axis"))
    among = drawing.several(rng)
    order: Any = pick(rng, ("greatest", "greatest", "greatest", "least"))
    pattern = _pattern("which", rng, split)
    phrases = [spoken(each, rng, split) for each in among]
    nouns = [each.the if rng.random() < 0.6 else each.one for each in phrases]
    slots = {
        "options": join(nouns, "or"),
        "list": join(nouns, "and"),
        "is_": phrases[0].be,
        "is": phrases[0].be,
        **order_slots(kind, "more" if order == "greatest" else "less", rng, before_noun=_is_before_noun(pattern)),
    }
    text = pattern.format(**slots)
    return Question(AskWhich(order, kind, tuple(among)), text)


def which_of_pair(rng: np.random.Generator, split: Split) -> Question:
    """Which of a pair has most or least of a measure: "which kidney is larger"."""
    kind: Measure = pick(rng, ("volume",) * 5 + ("density", "length"))
    usual = ("kidneys", "kidneys", "lungs", "adrenal_glands", "ovaries", "femurs", "parotid_glands", "breasts")
    key = pick(rng, usual if rng.random() < 0.6 else drawing.pairs())
    order: Any = pick(rng, ("greatest", "greatest", "greatest", "least"))
    one = single(key, rng, split)
    pattern = _pattern("which_of_pair", rng, split)
    slots = {
        "single": one,
        "pair": spoken(drawing.one(Item(key)), rng, split).one
        if rng.random() < 0.3
        else vocabulary.STRUCTURES[key].name,
        **order_slots(kind, "more" if order == "greatest" else "less", rng, before_noun=_is_before_noun(pattern)),
    }
    text = pattern.format(**slots)
    left, right = sorted(vocabulary.STRUCTURES[key].parts, key=lambda part: anatomy.side(part) != "left")
    return Question(AskWhich(order, kind, (drawing.one(Item(left)), drawing.one(Item(right)))), text)


def more(rng: np.random.Generator, split: Split) -> Question:
    """Whether one object has more or less of a measure than another."""
    kind: Measure = pick(rng, ("volume",) * 5 + ("density", "density", "length", "short axis"))
    first, second = _two(rng)
    order: Any = pick(rng, ("more", "more", "less"))
    pattern = expanded(pick(rng, [each for each in patterns("more", split) if _fits(each, order)]), rng)
    if not _tells_measure(pattern):
        kind = "volume"
    text = _filled(pattern, kind, (first, second), order_slots(kind, order, rng), rng, split=split)
    return Question(AskMore(kind, first, order, second), text)


def more_amount(rng: np.random.Generator, split: Split) -> Question:
    """Whether a measure is over or under a number."""
    kind: Measure = pick(rng, ("volume", "volume", "length", "length", "short axis", "density"))
    target = measured_object(kind, rng)
    if target.items[0].conditions and rng.random() < 0.7:
        target = drawing.structure(rng)
    order: Any = pick(rng, ("more", "more", "less"))
    pattern = expanded(pick(rng, patterns("more_amount", split)), rng)
    if kind == "short axis" and not _tells_measure(pattern):
        kind = "length"
    unit = pick(rng, UNITS_OF[kind])
    number = float(pick(rng, _NUMBERS[unit]))
    over = order == "more"
    slots = {
        **object_slots(target, rng, split),
        **order_slots(kind, order, rng),
        "measure": measure_word(kind, rng),
        "amount": with_unit(number, unit_word(unit, rng), rng),
        "over": pick(rng, _OVER if over else _UNDER),
        "exceed": pick(rng, ("exceed", "go beyond", "come to more than") if over else ("stay below", "stay under")),
        "sign": ">" if over else "<",
    }
    if kind == "length" and rng.random() < 0.6:
        slots["more"] = pick(rng, ("larger", "bigger") if over else ("smaller", "tinier"))  # the unit tells the measure
    return Question(AskMore(kind, target, order, (number, unit)), pattern.format(**slots))


def _filled(
    pattern: str,
    kind: Measure,
    two: tuple[ObjectExpression, ObjectExpression],
    slots: dict[str, str],
    rng: np.random.Generator,
    *,
    split: Split,
) -> str:
    texts = {
        **order_slots(kind, "more", rng),
        "measure": measure_word(kind, rng),
        **object_slots(two[0], rng, split),
        **second_slots(two[1], rng, split),
        **slots,
    }
    return pattern.format(**texts)


def _fits(pattern: str, order: str) -> bool:
    """Whether a pattern can be said for this order; ">" and "exceed" only mean more."""
    return order == "more" or not any(word in pattern for word in ("> {x2}", "exceed", "more |)"))


def _two(rng: np.random.Generator) -> tuple[ObjectExpression, ObjectExpression]:
    if rng.random() < 0.2:
        found, host = drawing.finding(rng), drawing.structure(rng)
        return found, host
    first, second = shuffled(rng, drawing.several(rng))[:2]
    return first, second


def _tells_measure(pattern: str) -> bool:
    return any(slot in pattern for slot in ("{measure}", "{more}"))


def _is_before_noun(pattern: str) -> bool:
    return any(f"{{more}} {noun}" in pattern for noun in ("one", "{single}", "side"))


def _pattern(group: str, rng: np.random.Generator, split: Split) -> str:
    return expanded(pick(rng, patterns(group, split)), rng)
