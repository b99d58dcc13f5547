"""A second opinion on the kind of query that a question is: sure cue words of the question limit what may be written.

A small language model writes the names of a question more surely than its kind: "is the liver visible?" had become a
list. ``question_kinds.yaml`` holds the cues. A rule is there to exclude kinds that the question cannot be, never to
choose among those that it can, so doubtful questions are left to the model. A test counts on training pairs how often
the right kind is excluded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from medvlsam2.data.query.kinds import kind_of, of_groups
from medvlsam2.data.query.queries import Query
from medvlsam2.tasks.questions.reading.signs import OBJECTS, any_object, filled, with_signs


@dataclass(frozen=True)
class _Rule:
    cue: re.Pattern[str]
    unless: re.Pattern[str] | None
    words: frozenset[str] | None
    """Words that may stand in the question beside names; None: all words."""
    kinds: frozenset[str]
    is_bare: bool
    """Whether it fits a bare name, which also asks for what was asked before."""

    def fits(self, text: str) -> bool:
        found = self.cue.search(text)
        return (
            found is not None
            and (self.unless is None or self.unless.search(text) is None)
            and (self.words is None or self.words.issuperset(_words(_from(text, found.start()))))
        )


def kinds_of(question: str, before: Query | None = None) -> frozenset[str] | None:
    """Return the kinds of query that a question can be; None where all are possible.

    Args:
        question: as it was asked.
        before: the query of the question before, to which this one may refer.

    Example:
        >>> sorted(kinds_of("Is the liver visible?")), kinds_of("Tell me a joke.")
        (['presence'], None)
    """
    found: frozenset[str] = frozenset()
    sentences = _sentences(question)
    for sentence in sentences:
        text = with_signs(sentence, _cue_words())
        rule = next((rule for rule in _rules() if rule.fits(text)), None)
        if rule is not None and rule.kinds:
            found |= rule.kinds | ({kind_of(before)} if rule.is_bare and before is not None else frozenset())
        elif rule is not None or _asks(text):
            return None
        if rule is not None and rule.is_bare and len(sentences) > 1 and _asking_words().isdisjoint(_words(text)):
            return None  # "The liver. State its volume."
    return found or None


def _sentences(question: str) -> list[str]:
    """The sentences of a question; an abbreviation such as "lt." ends none."""
    sentences = [""]
    for piece in re.split(r"(?<=[.?!])\s+", question.strip()):
        if re.search(r"(?:\w{4}|\d)[.?!]$", sentences[-1]) or sentences[-1].endswith(("?", "!")):
            sentences.append(piece)
        else:
            sentences[-1] = f"{sentences[-1]} {piece}".strip()
    return sentences


def _asks(text: str) -> bool:
    """Whether a sentence may ask for something."""
    return "?" in text or any(sign in text for sign in OBJECTS) or not _asking_words().isdisjoint(_words(text))


def _from(text: str, start: int) -> str:
    """A text without the story before a cue: "known cancer. Is there …"."""
    return text[start:] if re.search(r"[.,:;?!]\W*$", text[:start]) else text


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z/'’]*|\d+|AMOUNT|%", text.replace("’", "'")))


@cache
def _rules() -> tuple[_Rule, ...]:
    content = _content()
    plain = frozenset(content["plain"].split())
    return tuple(_rule(row, content["parts"], plain) for row in content["rules"])


def _rule(row: dict[str, Any], parts: dict[str, str], plain: frozenset[str]) -> _Rule:
    unless = row.get("unless")
    return _Rule(
        _pattern(row["cue"], parts),
        None if unless is None else _pattern(unless, parts),
        plain | set(row.get("words", "").split()) if row.get("whole") else None,
        of_groups(row["kinds"]),
        row.get("bare", False),
    )


def _pattern(text: str, parts: dict[str, str]) -> re.Pattern[str]:
    text = any_object(filled(text, parts).replace(" ", r"\W+").replace(r"\W+?", r"\W*"))
    return re.compile(rf"(?<!\w)(?:{text})(?!\w)")


_SHORTEST: Final = 4
"""Fewest letters of a cue word to which a misspelt word is corrected."""


@cache
def _cue_words() -> frozenset[str]:
    content = _content()
    told = " ".join([content["plain"], *content["parts"].values()])
    told += " ".join(f"{row['cue']} {row.get('words', '')}" for row in content["rules"])
    return frozenset(word for word in re.findall(r"[a-z]+(?![\w\\])", told) if len(word) >= _SHORTEST)


@cache
def _asking_words() -> frozenset[str]:
    return frozenset(_content()["asking"].split())


@cache
def _content() -> dict[str, Any]:
    text = files(__package__).joinpath("question_kinds.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
