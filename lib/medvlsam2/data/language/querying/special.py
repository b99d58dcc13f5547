"""Random questions whose objects stand apart, such as "does the liver contain cysts?", or are not named at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.naming import single
from medvlsam2.data.language.querying.patterns import Split, content, expanded, patterns, words
from medvlsam2.data.language.querying.phrasing import spoken
from medvlsam2.data.language.querying.slots import Question, object_slots, second_slots, tail
from medvlsam2.data.query.objects import Item, ObjectExpression, Place, Relation, Where
from medvlsam2.data.query.queries import AskDifference, AskDistance, AskObject
from medvlsam2.data.query.reading import read_query

_RELATIONS: tuple[Relation, ...] = ("above", "below", "left of", "right of", "in front of", "behind")
_PAIRED_FINDINGS = (
    *(("kidneys", "cyst"), ("kidneys", "stone"), ("kidneys", "tumor"), ("kidneys", "mass"), ("lungs", "nodule")),
    *(
        ("lungs", "mass"),
        ("lungs", "metastasis"),
        ("ureters", "stone"),
        ("adrenal_glands", "nodule"),
        ("kidneys", "lesion"),
    ),
    *(("ovaries", "cyst"), ("breasts", "mass"), ("parotid_glands", "mass"), ("femurs", "fracture"), ("lungs", "tumor")),
)


def special_question(rng: np.random.Generator, split: Split) -> Question:
    """Return a random question of one of the kinds of this module."""
    makers: Sequence[Callable[[np.random.Generator, Split], Question]] = (
        *(_presence_in_host, _presence_in_host, _presence_in_host, _count_in_host, _relation, _touching, _member_with),
        *(_symmetry, _fixed, _fixed, _fixed, _fixed, _fixed),
    )
    return pick(rng, makers)(rng, split)


def _said(group: str, rng: np.random.Generator, split: Split, slots: dict[str, str]) -> str:
    return expanded(pick(rng, patterns(group, split)), rng).format(scan=tail(rng), **slots)


def _presence_in_host(rng: np.random.Generator, split: Split) -> Question:
    return _in_host("presence", rng, split)


def _count_in_host(rng: np.random.Generator, split: Split) -> Question:
    return _in_host("count", rng, split)


def _in_host(what: Any, rng: np.random.Generator, split: Split) -> Question:
    hosts = content("sensible")["hosts"]
    key = pick(rng, tuple(hosts))
    host = pick(rng, hosts[key].split())
    held = spoken(drawing.one(Item(host)), rng, split)
    slots = object_slots(drawing.one(Item(key)), rng, split) | {"host": held.one, "the_host": held.the}
    return Question(
        AskObject(what, _within(key, Where("in", Place(host)))), _said(f"{what}_in_host", rng, split, slots)
    )


def _within(key: str, condition: Where) -> ObjectExpression:
    return drawing.one(Item(key, None, None, (condition,)))


def _relation(rng: np.random.Generator, split: Split) -> Question:
    """Ask whether something lies above, below or beside something else."""
    finding = rng.random() < 0.6
    key = pick(rng, drawing.keys_of("counted_findings" if finding else "solid"))
    place = pick(rng, [each for each in drawing.keys_of("landmarks") if each != key])
    relation = pick(rng, _RELATIONS)
    slots = object_slots(drawing.one(Item(key)), rng, split) | second_slots(drawing.one(Item(place)), rng, split)
    slots["rel"] = pick(
        rng, [word for word in words(content("object_words")["relations"][relation]) if "{" not in word]
    )
    return Question(
        AskObject("presence", _within(key, Where(relation, Place(place)))), _said("relation", rng, split, slots)
    )


def _touching(rng: np.random.Generator, split: Split) -> Question:
    """Ask whether two things touch: their distance says so."""
    first = drawing.finding(rng) if rng.random() < 0.6 else drawing.structure(rng)
    second = drawing.one(Item(pick(rng, drawing.keys_of("landmarks"))))
    slots = object_slots(first, rng, split) | second_slots(second, rng, split)
    return Question(AskDistance(first, second), _said("touching", rng, split, slots))


def _member_with(rng: np.random.Generator, split: Split) -> Question:
    """Ask which of a pair holds a finding."""
    pair, key = pick(rng, _PAIRED_FINDINGS)
    slots = object_slots(drawing.one(Item(key)), rng, split) | _pair_slots(pair, rng, split)
    return Question(AskObject("side", _within(key, Where("in", Place(pair)))), _said("member_with", rng, split, slots))


def _symmetry(rng: np.random.Generator, split: Split) -> Question:
    """Ask whether the two sides of a pair are alike."""
    usual = ("kidneys", "lungs", "adrenal_glands", "ovaries", "parotid_glands", "iliopsoas")
    pair = pick(rng, usual if rng.random() < 0.6 else drawing.pairs())
    left, right = sorted(vocabulary.STRUCTURES[pair].parts, key=lambda key: vocabulary.STRUCTURES[key].side != "left")
    query = AskDifference("volume", drawing.one(Item(left)), drawing.one(Item(right)))
    return Question(query, _said("symmetry", rng, split, _pair_slots(pair, rng, split)))


def _pair_slots(pair: str, rng: np.random.Generator, split: Split) -> dict[str, str]:
    return {"single": single(pair, rng, split), "pair": vocabulary.STRUCTURES[pair].name}


def _fixed(rng: np.random.Generator, split: Split) -> Question:
    target = pick(rng, _fixed_targets())
    return Question(read_query(target), _said(f"fixed {target}", rng, split, {}))


@cache
def _fixed_targets() -> tuple[str, ...]:
    return tuple(content("fixed")["fixed"])
