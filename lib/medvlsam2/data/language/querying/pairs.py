"""Training pairs of the text tasks: what a person types, and the text of the query language that it means.

How doubtful questions are read, for all wordings alike:

* "How big": the volume of a structure, the longest diameter of a finding; a length if the unit is one. The "diameter"
  of a vessel is its short axis.
* A compound names a finding of the vocabulary ("renal cyst" is ``kidney cyst``); "cyst in the left kidney" stays
  ``cyst in left kidney``.
* "No cysts?", "is the spleen missing?" and "is it abnormal?" are the same queries as their opposites. Whoever words
  the answer must say what is there, not "yes" or "no" alone.
* The cardiothoracic ratio is asked as ``whether heart is enlarged``; hepatomegaly as ``whether liver is enlarged``.
* Which of some choices is visible is ``list of structures``, also if the one that is not visible is asked for.
* An order to ignore the facts around a question gives the query of the question; without a question, ``picture``.
* A foreign language, chat, image quality, implants, texture, diagnoses and what no query covers are ``picture``.
* Name, age, sex, numbers, dates and doctors are ``decline identity``; therapy, prognosis and what to do next are
  ``decline treatment``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.followups import random_followup
from medvlsam2.data.language.querying.noise import typed
from medvlsam2.data.language.querying.patterns import Split
from medvlsam2.data.language.querying.phrasing import order, rearranged, spoken
from medvlsam2.data.language.querying.questions import random_question, with_injection

_OBJECT_SHARE = 0.3
_FOLLOWUP_SHARE = 0.12
_INJECTION_SHARE = 0.03
_REARRANGED_SHARE = 0.18
"""Share of the phrases in another order than that of their noun phrase, among those that have one."""
_UNRELATED_SHARE = 0.12
"""Share of questions that stand alone although there was another question before; "liver cysts?" never does."""


@dataclass(frozen=True)
class Pair:
    """One training pair."""

    task: Literal["query", "object"]
    text: str
    """The question or the phrase, as a person types it."""
    target: str
    """The right text of the query language; ``read_query`` or ``read_object`` reads it."""
    before: str | None = None
    """The query of the question before, in the query language; None without one."""


def pairs(seed: int, split: Split = "train") -> Iterator[Pair]:
    """Yield pairs without end.

    Args:
        seed: the same seed gives the same pairs.
        split: "train", or "held out" for wordings and synonyms that "train" never uses.
    """
    rng = np.random.default_rng(seed)
    while True:
        yield _object(rng, split) if rng.random() < _OBJECT_SHARE else _question(rng, split)


def _object(rng: np.random.Generator, split: Split) -> Pair:
    expression = drawing.random_object(rng)
    text = rearranged(expression, rng, split) if rng.random() < _REARRANGED_SHARE else None
    text = order(spoken(expression, rng, split), rng) if text is None else text
    return Pair("object", typed(text, rng, phrase=True), str(expression))


def _question(rng: np.random.Generator, split: Split) -> Pair:
    if rng.random() < _FOLLOWUP_SHARE:
        follow = random_followup(rng, split)
        return Pair("query", typed(follow.text, rng), str(follow.query), str(follow.before))
    asked = random_question(rng, split)
    apart = not asked.elliptic and rng.random() < _UNRELATED_SHARE
    if rng.random() < _INJECTION_SHARE:
        asked = with_injection(asked, rng, split)
    before = str(random_question(rng, split).query) if apart else None
    return Pair("query", typed(asked.text, rng), str(asked.query), before)
