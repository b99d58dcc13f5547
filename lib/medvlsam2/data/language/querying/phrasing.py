"""Object expressions as noun phrases: "largest cyst in the left kidney", "both lungs without the left lower lobe"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import count_word, is_plural, join, pick, plural
from medvlsam2.data.language.querying.naming import Spoken, has_members, members, noun, single
from medvlsam2.data.language.querying.patterns import Split, content, expanded, words
from medvlsam2.data.query.linking import is_name
from medvlsam2.data.query.objects import Condition, Item, ObjectExpression, OfSize, OnSide, Place, Where

_ADJECTIVE_PARTS = ("aorta", "esophagus", "spine", "ureters", "colon")
"""Structures with parts that have names: "abdominal aorta"; "upper liver" is not said."""
_OF_FINDINGS = ("fracture", "aneurysm", "calcification", "thrombus")
_SERIES = ("vertebrae", "ribs", "ribs_left", "ribs_right")
_LONG_UNITS = {"cm": "centimetre|centimeter", "mm": "millimetre|millimeter"}
_SMALLEST_CM = 10
"""Shorter lengths than these millimetres are not given in centimetres."""


def spoken(expression: ObjectExpression, rng: np.random.Generator, split: Split) -> Spoken:
    """Return random words for an object expression."""
    kept = _union([_item(item, rng, split) for item in expression.items], rng)
    if not expression.without:
        return kept
    left_out = _union([_item(item, rng, split) for item in expression.without], rng)
    without = pick(rng, words(_table()["without"])).format(left=left_out.one, the_left=left_out.the)
    if left_out.one not in without:
        without = f"{without} {left_out.the if rng.random() < 0.8 else left_out.one}"
    return _followed(kept, without)


def order(phrase: Spoken, rng: np.random.Generator) -> str:
    """Return the phrase as an annotator types it: alone, or as an order such as "show me the liver"."""
    bare = rng.random() < 0.6
    pattern = "{it}" if bare else pick(rng, tuple(_table()["orders"].splitlines()))
    noun_phrase = phrase.one if phrase.one == phrase.many or rng.random() < 0.6 else phrase.many
    the = phrase.the if noun_phrase == phrase.one else f"the {noun_phrase}"
    if noun_phrase != phrase.one and rng.random() < 0.2:
        noun_phrase = the = f"{pick(rng, words(_table()['every']))} {noun_phrase}"
    return expanded(pattern, rng).format(it=noun_phrase, the=the)


def rearranged(expression: ObjectExpression, rng: np.random.Generator, split: Split) -> str | None:
    """Return a phrase in another order than that of its noun phrase; None for what has no such order.

    The place of a finding comes first ("liver: largest cyst"), the choice comes last ("kidneys, the larger one"), or a
    verb tells what is left out ("take the left lower lobe out of the lungs").
    """
    item = expression.items[0]
    if expression.without:
        kept = _union([_item(each, rng, split) for each in expression.items], rng)
        left_out = _union([_item(each, rng, split) for each in expression.without], rng)
        slots = {"it": kept.one, "the": kept.the, "left": left_out.one, "the_left": left_out.the}
        return _arranged("left_out_by_verb", slots, rng)
    if len(expression.items) > 1:
        return None
    if item.pick is not None and item.part is None and not item.conditions:
        return _arranged("picked_last", _pick_slots(item, rng, split), rng)
    where = item.conditions[0] if len(item.conditions) == 1 else None
    if not isinstance(where, Where) or where.relation != "in":
        return None
    there, lying = _place(where.place, rng, split), _head(replace(item, conditions=()), rng, split)
    it = lying.one if item.pick is not None or rng.random() < 0.6 else lying.many
    return _arranged("placed_first", {"there": there.the, "place": there.one, "it": it}, rng)


def _arranged(group: str, slots: dict[str, str], rng: np.random.Generator) -> str:
    return expanded(pick(rng, tuple(_table()[group].splitlines())), rng).format(**slots)


def _pick_slots(item: Item, rng: np.random.Generator, split: Split) -> dict[str, str]:
    """The word of a choice, and the several things that are chosen from."""
    two = has_members(item.key) and len(vocabulary.STRUCTURES[item.key].parts) == 2
    picks = _table()["picks"]
    word = pick(rng, words(picks.get(f"{item.pick}_of_two" if two else item.pick, picks[item.pick])))
    if item.key in _SERIES:
        return {"pick": word, "several": members(item.key, rng)}
    if has_members(item.key):
        single_word = single(item.key, rng, split)
        return {"pick": word, "several": single_word if is_plural(single_word) else plural(single_word)}
    return {"pick": word, "several": noun(item.key, rng, split).many}


def _union(parts: Sequence[Spoken], rng: np.random.Generator) -> Spoken:
    if len(parts) == 1:
        return parts[0]
    last = pick(rng, words(_table()["joined"]))
    text = join([parts[0].one, *(each.the if rng.random() < 0.5 else each.one for each in parts[1:])], last)
    if last == "and" and len(parts) == 2 and not parts[0].one.startswith("both ") and rng.random() < 0.08:
        text = f"both {text}"
    return Spoken(text, text, takes_are=True, bare=parts[0].bare)


def _item(item: Item, rng: np.random.Generator, split: Split) -> Spoken:
    if rng.random() < 0.3 and (compound := _compound(item)) is not None:
        return _picked(item, compound, rng) if item.pick is not None else compound
    head = _head(item, rng, split)
    for condition in item.conditions:
        head = _with_condition(head, condition, rng, split)
    return head


def _compound(item: Item) -> Spoken | None:
    """Return "pancreatic cyst" for a cyst in the pancreas; None if there is no adjective, or if it is a name itself."""
    if len(item.conditions) != 1 or not isinstance(item.conditions[0], Where) or item.part is not None:
        return None
    place, adjective = item.conditions[0].place, anatomy.adjective(item.conditions[0].place.key)
    if item.conditions[0].relation != "in" or place.pick is not None or adjective is None:
        return None
    one = f"{adjective} {vocabulary.STRUCTURES[item.key].name}"
    return None if is_name(one) or "lung lung" in one else Spoken(one, plural(one), counted=True)


def _head(item: Item, rng: np.random.Generator, split: Split) -> Spoken:
    """The name with its part and its pick."""
    whole = _picked_noun(item, rng, split)
    if item.part is not None:
        whole = _part(item, whole, rng)
    if item.pick is None:
        return whole
    return _picked(item, whole, rng)


def _picked_noun(item: Item, rng: np.random.Generator, split: Split) -> Spoken:
    """One member if one of several is picked, or if the place in a series is told."""
    relations = [each.relation for each in item.conditions if isinstance(each, Where)]
    series = any(relation.startswith("next") for relation in relations)
    if item.key in _SERIES and {"above", "below"} & set(relations):
        several = members(item.key, rng)
        return Spoken(several, several, takes_are=True)
    if (series or item.pick is not None) and item.part is None and has_members(item.key):
        one = single(item.key, rng, split)
        return Spoken(one, one, counted=True)
    return noun(item.key, rng, split)


def _picked(item: Item, whole: Spoken, rng: np.random.Generator) -> Spoken:
    two = has_members(item.key) and len(vocabulary.STRUCTURES[item.key].parts) == 2
    finding = vocabulary.STRUCTURES[item.key].is_finding
    picks = _table()["picks"]
    usual = f"{item.pick}_of_two" if (two or (finding and rng.random() < 0.2)) else str(item.pick)
    word = pick(rng, words(picks.get(usual, picks[str(item.pick)])))
    if finding and whole.many != whole.one and not whole.many.isupper() and rng.random() < 0.1:
        text = f"{word} of the {whole.many}"
        return Spoken(text, text)
    text = f"{word} {whole.one}"
    after = _table()["picks_after"]
    if item.part is None and (usual in after or str(item.pick) in after) and rng.random() < 0.25:
        word = pick(rng, words(after.get(usual, after.get(str(item.pick)))))
        text = f"{whole.one} {_conjugated(word, plural=whole.takes_are)}"
    return Spoken(text, text)


def _part(item: Item, whole: Spoken, rng: np.random.Generator) -> Spoken:
    named = _table()["named_parts"].get(item.key, {}).get(str(item.part))
    if named and rng.random() < 0.5:
        return Spoken(text := pick(rng, words(named)), text)
    adjectives = _table()["part_adjectives"].get(str(item.part))
    if adjectives and item.key.startswith(_ADJECTIVE_PARTS) and rng.random() < 0.6:
        text = f"{pick(rng, words(adjectives))} {whole.one}"
    else:
        part = pick(rng, words(_table()["parts"][str(item.part)]))
        if rng.random() < 0.25 and item.part not in ("left half", "right half"):  # "kidney, left part" tells a side
            pattern = pick(rng, tuple(_table()["parts_after"].splitlines()))
            return Spoken(text := pattern.format(x=whole.one, the=whole.the, part=part), text)
        text = f"{part} of {whole.the if rng.random() < 0.8 else whole.one}"
    return Spoken(text, text)


def _with_condition(head: Spoken, condition: Condition, rng: np.random.Generator, split: Split) -> Spoken:
    match condition:
        case OnSide(side=side):
            return _on_side(head, side, rng)
        case OfSize():
            length = _length(condition.diameter_mm, rng)
            if rng.random() < 0.2:
                return head.with_words(
                    pick(rng, words(_table()["sizes_before"][condition.size])).format(size=length), ""
                )
            return _followed(head, f"{pick(rng, words(_table()['sizes'][condition.size]))} {length}")
        case Where(relation=relation, place=place):
            word = pick(rng, words(_table()["relations"][relation]))
            if relation == "in" and any(word_ in head.one for word_ in _OF_FINDINGS):
                word = pick(rng, ("of", "in"))
            there = _place(place, rng, split)
            return _followed(head, f"{word} {there.the if rng.random() < 0.85 else there.one}")


def _followed(head: Spoken, text: str) -> Spoken:
    """The phrase followed by words, whose verbs take the number of the noun: "cyst that touch{es} the liver"."""
    space = "" if text.startswith(",") else " "
    one, many = (
        f"{noun_}{space}{_conjugated(text, plural=plural_)}"
        for noun_, plural_ in ((head.one, head.takes_are), (head.many, head.takes_are or head.many != head.one))
    )
    return Spoken(one, many, head.takes_are, head.bare, head.counted)


def _conjugated(text: str, *, plural: bool) -> str:
    """A text whose slots are endings of verbs: "lie{s}", "touch{es}", "ha{has}", and "{is}"."""
    endings = ("", "", "ve", "are") if plural else ("s", "es", "s", "is")
    return text.format(**dict(zip(("s", "es", "has", "is"), endings, strict=True)))


def _on_side(head: Spoken, side: str, rng: np.random.Generator) -> Spoken:
    if rng.random() < 0.4 and not head.bare:
        before = pick(rng, (f"{side}-sided", f"{side} sided", side, f"{side}-sided"))
        return head.with_words(before, "")
    text = pick(rng, tuple(_table()["sides"])).format(side=side)
    glued = text.startswith(",")
    one, many = (f"{noun_}{'' if glued else ' '}{text}" for noun_ in (head.one, head.many))
    return Spoken(one, many, head.takes_are, head.bare, head.counted)


def _place(place: Place, rng: np.random.Generator, split: Split) -> Spoken:
    return _head(Item(place.key, place.pick), rng, split)


def number(value: float, rng: np.random.Generator) -> str:
    """Return a number in digits, a small whole one sometimes as a word."""
    if value == int(value) and 1 <= value <= 10 and rng.random() < 0.12:
        return count_word(int(value))
    return f"{value:g}"


def with_unit(value: float, unit: str, rng: np.random.Generator) -> str:
    """Return a number with its unit, with a space between them or not."""
    text = number(value, rng)
    return f"{text}{pick(rng, (' ', ' ', '')) if text[0].isdigit() else ' '}{unit}"


def _length(diameter_mm: float, rng: np.random.Generator) -> str:
    """A length in mm or cm, with its unit in any notation."""
    units = content("measure_words")["units"]
    if rng.random() < 0.25 and (said := _in_words(diameter_mm, rng)) is not None:
        return said
    if diameter_mm >= _SMALLEST_CM and rng.random() < 0.45:
        return with_unit(diameter_mm / 10, pick(rng, words(units["cm"])), rng)
    return with_unit(diameter_mm, pick(rng, words(units["mm"])), rng)


def _in_words(diameter_mm: float, rng: np.random.Generator) -> str | None:
    """A length with its number and its unit in words: "one and a half centimetres"; None if it has no usual one."""
    numbers = content("measure_words")["lengths_in_words"]
    unit = pick(rng, ("cm", "cm", "mm"))
    if int(diameter_mm) not in numbers[unit]:
        return None
    number_word = pick(rng, words(numbers[unit][int(diameter_mm)]))
    ending = "" if number_word in ("one", "a", "half a") else "s"
    return f"{number_word} {pick(rng, words(_LONG_UNITS[unit]))}{ending}"


def _table() -> dict[str, Any]:
    return dict(content("object_words"))
