"""Lay words, abbreviations and diagnoses for structures and findings, from ``lay_words.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml

from medvlsam2.data import vocabulary

_SIDES = ("left", "right")


def lay_names(key: str) -> tuple[str, ...]:
    """Return the lay words and abbreviations that mean a structure itself, a left or a right one too.

    Example:
        >>> lay_names("trachea")[0], "left collar bone" in lay_names("clavicula_left")
        ('wind pipe', True)
    """
    return _names().get(key, ())


@cache
def hints() -> Mapping[str, tuple[str, ...]]:
    """Return the phrases that make a text be about structures without naming them, with those structures."""
    return {str(phrase): tuple(keys) for phrase, keys in _content()["hints"].items()}


def lay_words() -> Mapping[str, tuple[str, ...]]:
    """Return all lay names by key."""
    return _names()


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    names = {key: tuple(str(text) for text in texts) for key, texts in _content()["names"].items()}
    sided: dict[str, tuple[str, ...]] = {}
    for key, texts in names.items():
        parts = vocabulary.STRUCTURES[key].parts
        for side in _SIDES:
            of_side = [part for part in parts if vocabulary.STRUCTURES[part].side == side]
            if len(parts) == 2 and of_side:
                sided[of_side[0]] = tuple(f"{side} {one}" for one in map(_one, texts) if one and side not in one)
        if vocabulary.STRUCTURES[key].is_finding:
            sided |= _findings_of_side(key, texts)
    return {**sided, **names}


def _findings_of_side(key: str, texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {
        f"{key}_{side}": tuple(f"{side} {text}" for text in texts)
        for side in _SIDES
        if f"{key}_{side}" in vocabulary.STRUCTURES
    }


def _one(text: str) -> str:
    """The singular of a regular plural; nothing for words such as "both lungs" or "femora"."""
    if text.startswith("both ") or (not text.isupper() and not text.endswith("s")):
        return ""
    return text if text.isupper() else text[:-1]


@cache
def _content() -> dict[str, Any]:
    text = files("medvlsam2.data.query.words").joinpath("lay_words.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Any]", yaml.safe_load(text))
