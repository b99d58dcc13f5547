"""Questions in small letters with signs for the objects in them, so that rules can look at the other words.

"X" stands for the name of a structure or finding with its part, side and place: "cyst in the left kidney"; "F" for a
name that tells a state, e.g. "enlarged lymph node"; "C" for a category such as "ribs"; "V" for "vertebra"; "P" for a
choice such as "largest"; "AMOUNT" for a limit such as "over 3 cm". The patterns stand in ``signs.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from medvlsam2.data.query.linking import named_spans
from medvlsam2.data.query.words.known_words import corrected_words
from medvlsam2.data.query.words.near_words import nearest_word

OBJECTS: Final = "XFCV"
"""The signs of objects."""
_HELD: Final = dict(enumerate(OBJECTS))
"""Control characters that stand for the signs until the other words are in small letters."""
_REGION: Final = re.compile(r".*\bbody\b.*|(?:the )?(?:pelvis|chest|thorax|abdomen|belly|head|neck)")
"""Names that also tell what a scan shows; they stay words."""
_ENDING: Final = re.compile(r"(?:s|es|d|ed|ing|ly|er|e|y|ion|ities|ity)$")
_SHORTEST: Final = 4
"""Fewest letters of a word that is corrected."""


def with_signs(question: str, words: Collection[str] = frozenset()) -> str:
    """Return a question in small letters with signs for its objects.

    Args:
        question: as it was asked.
        words: to which misspelt words are corrected, in small letters.

    Example:
        >>> with_signs("Are there any cysts in the LEFT kidney visibel?", frozenset({"visible"}))
        'are there any X visible?'
    """
    text = question
    for span in reversed(named_spans(question)):
        named = " ".join(corrected_words(question[span.start : span.end])).lower()
        if _REGION.fullmatch(named) is None:
            text = f"{text[: span.start]}{chr(OBJECTS.index(_sign(named)))}{text[span.end :]}"
    known = frozenset(words)
    text = re.sub(r"[a-z]+", lambda found: _corrected(found[0], known), " ".join(text.lower().split()))
    text = text.translate(_HELD)
    for pattern, sign in _signs():
        text = pattern.sub(sign if sign != "X" else _joined, text)
    return text


def any_object(pattern: str) -> str:
    """Return a pattern whose sign "X" stands for any object."""
    return re.sub(r"(?<!\[)X", f"[{OBJECTS}]", pattern)


def filled(pattern: str, parts: dict[str, str]) -> str:
    """Return a pattern with its parts, e.g. "{unit}", in their places.

    A part may be broken into lines behind "|".
    """
    for name, part in parts.items():
        pattern = pattern.replace(f"{{{name}}}", re.sub(r"\|\s+", "|", part))
    return pattern


def _sign(named: str) -> str:
    content = _content()
    if re.fullmatch(content["V"], named):
        return "V"
    if re.fullmatch(content["C"], named):
        return "C"
    return "F" if re.search(re.sub(r"\|\s+", "|", content["F"]), named) else "X"


def _joined(found: re.Match[str]) -> str:
    """The sign of an object that is made of several names or words."""
    signs = [sign for sign in found[0] if sign in OBJECTS]
    return "F" if "F" in signs else signs[0] if len(signs) == 1 else "X"


def _corrected(word: str, known: frozenset[str]) -> str:
    if len(word) < _SHORTEST or word in known or word in _content()["kept"].split():
        return word
    near = nearest_word(word, known)
    if near is None or _ENDING.sub("", near) == _ENDING.sub("", word):
        return word  # "sided" is not "sized", nor "attenuating" "attenuation"
    return near


@cache
def _signs() -> tuple[tuple[re.Pattern[str], str], ...]:
    content = _content()
    return tuple(
        (re.compile(any_object(filled(pattern, content["parts"]))), sign) for pattern, sign in content["signs"]
    )


@cache
def _content() -> dict[str, Any]:
    text = files(__package__).joinpath("signs.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
