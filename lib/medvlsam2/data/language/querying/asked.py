"""Questions in the wordings of ``data.language.asking``, which the evaluation asks, with the query of each topic.

The mapping: presence, lesion presence → ``presence``; organ (which of some structures is visible, or is not) →
``list of structures``; region, phase, plane, modality → themselves; contrast → ``phase``; comparison → ``greatest
volume``; size → ``length``; count, side → themselves; place → ``location``; abnormality → ``list of findings in`` the
structure; any abnormality → ``list of findings``. The choices of a question are not part of it: whoever answers takes
the one that agrees with the computed value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from medvlsam2.data.language.asking import question_wording as wording
from medvlsam2.data.language.grammar import join, pick
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.patterns import Split, content, is_held_out
from medvlsam2.data.language.querying.phrasing import spoken
from medvlsam2.data.language.querying.slots import Question
from medvlsam2.data.language.wording import Wording
from medvlsam2.data.query.objects import Item, ObjectExpression, Place, Where
from medvlsam2.data.query.queries import AskList, AskMeasure, AskObject, AskScan, AskWhich, ObjectQuestion, Query

_SCAN: Final[tuple[tuple[Wording, Query], ...]] = (
    (wording.REGION, AskScan("region")),
    (wording.PHASE, AskScan("phase")),
    (wording.CONTRAST, AskScan("phase")),
    (wording.PLANE, AskScan("plane")),
    (wording.MODALITY, AskScan("modality")),
    (wording.ANY_ABNORMALITY, AskList("findings")),
)
_CANONICAL_SHARE: Final = 0.3
"""Share of the canonical wordings, which half of the evaluation's questions have."""


def asked_question(rng: np.random.Generator, split: Split) -> Question:
    """Return a random question in the wordings of the evaluation."""
    makers: Sequence[Callable[[np.random.Generator, Split], Question]] = (
        *(_scan, _scan, _presence, _organ, _comparison, _lesion_presence, _size, _count, _abnormality, _place, _side),
    )
    return pick(rng, makers)(rng, split)


def _said(asked: Wording, rng: np.random.Generator, split: Split, **slots: str) -> str:
    """One of the wordings on its side of the split; the canonical one is always trained on."""
    usual = split == "train" and rng.random() < _CANONICAL_SHARE
    pattern = asked.canonical if usual else pick(rng, _patterns(asked, split))
    return pattern.format(**slots)


@cache
def _patterns(asked: Wording, split: Split) -> tuple[str, ...]:
    held = tuple(pattern for pattern in asked.patterns[1:] if is_held_out("asked", pattern))
    if split == "held out":
        return held or asked.patterns
    return tuple(pattern for pattern in asked.patterns if pattern not in held)


def _scan(rng: np.random.Generator, split: Split) -> Question:
    asked, query = pick(rng, _SCAN)
    return Question(query, _said(asked, rng, split))


def _presence(rng: np.random.Generator, split: Split) -> Question:
    target = drawing.structure(rng)
    phrase = spoken(target, rng, split)
    text = _said(wording.PRESENCE, rng, split, is_=phrase.be, the=phrase.the)
    return Question(AskObject("presence", target), text)


def _organ(rng: np.random.Generator, split: Split) -> Question:
    names = [spoken(drawing.structure(rng), rng, split).one for _ in range(4)]
    asked = pick(rng, (wording.ORGAN, wording.MISSING_ORGAN))
    text = _said(asked, rng, split, options=join(names, "or"))
    return Question(AskList("structures"), text if rng.random() < 0.5 else f"{text.partition(':')[0]}?")


def _comparison(rng: np.random.Generator, split: Split) -> Question:
    among = drawing.several(rng)[:2]
    first, second = (spoken(each, rng, split) for each in among)
    text = _said(wording.COMPARISON, rng, split, the=first.the, other=second.the)
    return Question(AskWhich("greatest", "volume", tuple(among)), text)


def _lesion_presence(rng: np.random.Generator, split: Split) -> Question:
    target = drawing.any_finding(rng)
    phrase = spoken(target, rng, split)
    return Question(AskObject("presence", target), _said(wording.LESION_PRESENCE, rng, split, a=phrase.a))


def _size(rng: np.random.Generator, split: Split) -> Question:
    target = drawing.finding(rng)
    text = _said(wording.SIZE, rng, split, noun=spoken(target, rng, split).one)
    return Question(AskMeasure("length", target, "mm" if "millimeters" in text else None), text)


def _count(rng: np.random.Generator, split: Split) -> Question:
    """Ask "how many cysts are there in the left kidney?": the place stands apart from the noun."""
    hosts = content("sensible")["hosts"]
    key = pick(rng, tuple(hosts))
    host = pick(rng, hosts[key].split())
    target = drawing.one(Item(key, None, None, (Where("in", Place(host)),)))
    noun, place = (spoken(drawing.one(Item(each)), rng, split) for each in (key, host))
    text = _said(wording.COUNT, rng, split, nouns=noun.many, place=f"in {place.the}")
    return Question(AskObject("count", target), text)


def _abnormality(rng: np.random.Generator, split: Split) -> Question:
    place = Place(pick(rng, content("sensible")["list_places"].split()))
    the = spoken(drawing.one(Item(place.key)), rng, split).the
    return Question(AskList("findings", place), _said(wording.ABNORMALITY, rng, split, the=the))


def _place(rng: np.random.Generator, split: Split) -> Question:
    return _where("location", wording.PLACE, rng, split)


def _side(rng: np.random.Generator, split: Split) -> Question:
    return _where("side", wording.SIDE, rng, split)


def _where(what: ObjectQuestion, asked: Wording, rng: np.random.Generator, split: Split) -> Question:
    """The place or the side of findings that are named without it."""
    target = ObjectExpression((replace(drawing.finding(rng).items[0], conditions=()),))
    phrase = spoken(target, rng, split)
    noun, be = (phrase.many, "are") if phrase.many != phrase.one and rng.random() < 0.5 else (phrase.one, phrase.be)
    return Question(AskObject(what, target), _said(asked, rng, split, is_=be, nouns=noun))
