"""Names that a text can mean: what the prompt of the language model lists, and what its grammar allows.

Every run of words of the text is looked up among names, synonyms, lay words and abbreviations; words that are not known
are first corrected if exactly one known word is near enough. Then come the names that belong to what was found: the
sides of a pair and the pair of a side, the series of a vertebra or rib, the lobes of a lung, and "liver cyst" for
"cyst" and "liver". The model still has to choose; the names only say among what.

A run of words that joins two things ("left kidney and lung") means no sided structure: the side belongs to the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.query.words.known_words import (
    JOINING,
    Word,
    hinted_by_words,
    named_by_words,
    tokens_of,
    words_of_text,
)
from medvlsam2.data.query.words.series_names import written_out
from medvlsam2.data.structures.plain_words import plain_words
from medvlsam2.data.structures.table import ORDINALS

MAX_NAMES: Final = 12
"""Most names that a prompt lists; more would make the prompt longer without helping the choice."""
_LONGEST_RUN: Final = 7
_ENDING: Final = frozenset("<>=%?!")
"""Signs behind which another name begins."""
_SIDES: Final = frozenset({"left", "right"})
_SERIES: Final = {
    "vertebrae_": ("vertebrae",),
    "rib_left_": ("ribs", "ribs_left"),
    "rib_right_": ("ribs", "ribs_right"),
}
_CLOSELY: Final[dict[str, tuple[str, ...]]] = {
    "lungs": (
        *("lung_left", "lung_right", "lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right"),
        *("lung_middle_lobe_right", "lung_lower_lobe_right"),
    ),
    "lung_left": ("lungs", "lung_right", "lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lung_right": ("lungs", "lung_left", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "ribs": ("ribs_left", "ribs_right"),
    "spine": ("vertebrae", "lumbar_spine", "thoracic_spine", "cervical_spine"),
    "vertebrae": ("spine",),
    "airway": ("trachea", "bronchi"),
    "bowel": ("small_bowel", "colon", "duodenum"),
    "pleural_effusion": ("lungs",),
    "heart": ("cardiomegaly",),
    "spleen": ("splenomegaly",),
    "cardiomegaly": ("heart",),
    "splenomegaly": ("spleen",),
    "aortic_aneurysm": ("aorta",),
    "aortic_dissection": ("aorta",),
}
"""Structures that a text about one structure may mean too, although it does not name them."""


@dataclass(frozen=True)
class _Match:
    """Keys that a run of words means."""

    keys: tuple[str, ...]
    first: int
    last: int
    rank: int
    """0: names the structure; 1: with a corrected word; 2: only hints at it."""

    @property
    def length(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class NamedSpan:
    """Characters of a text that name a structure or finding."""

    keys: tuple[str, ...]
    """Vocabulary keys of what they can name, the likeliest first."""
    start: int
    end: int


def linked_names(text: str) -> tuple[str, ...]:
    """Return vocabulary keys of the structures and findings that a text can mean, the best first, at most twelve.

    Args:
        text: a question or a phrase as a person typed it.

    Example:
        >>> linked_names("how big is the wind pipe?"), linked_names("cyst of the livr")[:3]
        (('trachea',), ('liver_cyst', 'cyst', 'liver'))
    """
    return _closed(written_out(text))[:MAX_NAMES]


def named_spans(text: str) -> tuple[NamedSpan, ...]:
    """Return where a text names structures or findings, in order and without overlap; the longest names count.

    Example:
        >>> [(span.keys[0], span.start, span.end) for span in named_spans("is the L kidny big?")]
        [('kidney_left', 7, 14)]
    """
    return _spans(text)


def named_keys(text: str) -> tuple[str, ...]:
    """Return the vocabulary keys of the names in a text, in order, each once; at each place the longest name counts.

    Example:
        >>> named_keys("Which is visible: the left kidney, the livr or the brain?")
        ('kidney_left', 'liver', 'brain')
    """
    return tuple(dict.fromkeys(span.keys[0] for span in named_spans(text)))


def is_name(text: str) -> bool:
    """Return whether a whole text is a name, a synonym or a lay word of a structure or finding."""
    return plain_words(text) in named_by_words()


def allowed_keys(text: str, before: str | None = None) -> tuple[str, ...]:
    """Return the vocabulary keys that the grammar allows for a text: all that it can mean; all keys if none is found.

    Args:
        text: a question or a phrase as a person typed it.
        before: the query of the question before, in the query language, whose names may be meant again.
    """
    found = _closed(written_out(text))
    if before is not None:
        found = tuple(dict.fromkeys((*found, *_closed(before))))
    return found or tuple(vocabulary.STRUCTURES)


def findings_elsewhere(findings: Iterable[str], places: Iterable[str]) -> tuple[str, ...]:
    """Return the general kinds of some findings, and what they are called in other places.

    Args:
        findings: vocabulary keys, e.g. of the question before; those of structures are left out.
        places: vocabulary keys of structures.

    Example:
        >>> findings_elsewhere(["gallstone"], ["kidney_left"])
        ('stone', 'kidney_stone')
    """
    kinds = tuple(dict.fromkeys(kind for key in findings for kind in _kinds() if key == kind or key in _kinds()[kind]))
    return (*kinds, *dict.fromkeys(_specific((*kinds, *places))))


@lru_cache(maxsize=256)
def _closed(text: str) -> tuple[str, ...]:
    """The keys that a text names or hints at, followed by those that belong to them."""
    named = tuple(dict.fromkeys(key for match in _ranked(text) for key in match.keys))
    return tuple(dict.fromkeys((*named, *_specific(named), *_pairs_of(named), *_related(named))))


def _ranked(text: str) -> list[_Match]:
    """All matches, the best first: names before hints, then long runs, then early ones."""
    tokens = words_of_text(text)
    matches = list(_matches(tokens))
    names = [match for match in matches if match.rank < 2]
    kept = [match for match in matches if match.rank < 2 or not any(_covers(name, match) for name in names)]
    return sorted(kept, key=lambda match: (match.rank == 2, -match.length, match.rank, match.first))


@lru_cache(maxsize=256)
def _spans(text: str) -> tuple[NamedSpan, ...]:
    places = [found.span() for found in tokens_of(text)]
    names = [match for match in _ranked(text) if match.rank < 2]
    chosen: list[_Match] = []
    for match in names:
        if not any(match.first < other.last and other.first < match.last for other in chosen):
            chosen.append(match)
    chosen.sort(key=lambda match: match.first)
    return tuple(NamedSpan(match.keys, places[match.first][0], places[match.last - 1][1]) for match in chosen)


def _covers(match: _Match, other: _Match) -> bool:
    return match.length > other.length and match.first <= other.first and other.last <= match.last


def _matches(tokens: list[Word]) -> Iterator[_Match]:
    for first in (place for place, token in enumerate(tokens) if token.plain):
        plain: frozenset[str] = frozenset()
        for last in range(first + 1, min(first + _LONGEST_RUN, len(tokens)) + 1):
            run = tokens[first:last]
            if run[-1].text in _ENDING:
                break
            if not tokens[last - 1].plain:
                continue
            plain |= tokens[last - 1].plain
            if any(word.text.lower() in JOINING for word in run) and plain & _SIDES:
                break
            keys, is_hint = _looked_up(run, plain)
            if keys:
                corrected = any(word.corrected for word in run)
                yield _Match(keys, first, last, 2 if is_hint else int(corrected))


def _looked_up(run: list[Word], plain: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    """The keys of a run of words, and whether they are only hinted at."""
    if _is_numbered(run):
        return _numbered(" ".join(word.text for word in run)), False
    named, hinted = named_by_words().get(plain, ()), hinted_by_words().get(plain, ())
    return (*named, *hinted), not named


def _is_numbered(run: list[Word]) -> bool:
    return any(any(letter.isdigit() for letter in word.text) or word.text.lower() in ORDINALS for word in run)


def _numbered(text: str) -> tuple[str, ...]:
    """A vertebra or a rib by its number; a rib without a side may be either."""
    found = vocabulary.lookup(text)
    if found is not None:
        return (found.key,)
    plain = plain_words(text)
    number = next((word for word in plain if word.isdigit()), None)
    if number is None or plain != {"rib", number}:
        return ()
    return tuple(key for key in (f"rib_left_{number}", f"rib_right_{number}") if key in vocabulary.STRUCTURES)


def _specific(keys: tuple[str, ...]) -> Iterator[str]:
    """Yield "liver cyst" if both "cyst" and "liver", or a part of it, are among the keys."""
    sites = {whole for key in keys for whole in (key, *_wholes().get(key, ()))}
    for generic in keys:
        for key in _kinds().get(generic, ()):
            if vocabulary.STRUCTURES[key].site in sites:
                yield key


def _pairs_of(keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        yield from _twins().get(key, ())


def _related(keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        yield from _CLOSELY.get(key, ())
        for start, series in _SERIES.items():
            if key.startswith(start) and key[-1].isdigit():
                yield from series
                yield vocabulary.mirror(key)


@cache
def _twins() -> Mapping[str, tuple[str, ...]]:
    """The sides of each pair, and the pair and the other side of each side."""
    twins: dict[str, tuple[str, ...]] = {}
    for key, structure in vocabulary.STRUCTURES.items():
        sides = structure.parts if _are_mirrored(structure.parts) else _sided(key)
        if len(sides) == 2:
            twins[key] = sides
            twins |= {side: (key, vocabulary.mirror(side)) for side in sides}
    return twins


def _are_mirrored(parts: tuple[str, ...]) -> bool:
    return len(parts) == 2 and vocabulary.mirror(parts[0]) == parts[1] != parts[0]


def _sided(key: str) -> tuple[str, ...]:
    return tuple(f"{key}_{side}" for side in ("left", "right") if f"{key}_{side}" in vocabulary.STRUCTURES)


@cache
def _wholes() -> Mapping[str, tuple[str, ...]]:
    """The structures of which each structure is a part, the nearest first."""
    wholes: dict[str, tuple[str, ...]] = {}
    for key, structure in vocabulary.STRUCTURES.items():
        for part in structure.parts:
            wholes[part] = (*wholes.get(part, ()), key)
    return {key: tuple(_ascending(key, wholes)) for key in wholes}


def _ascending(key: str, wholes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for whole in wholes.get(key, ()):
        yield whole
        yield from _ascending(whole, wholes)


@cache
def _kinds() -> Mapping[str, tuple[str, ...]]:
    """The findings with a site of each kind of finding: "liver cyst", "kidney cyst" … of "cyst"."""
    findings = {key: each for key, each in vocabulary.STRUCTURES.items() if each.is_finding}
    generic = [key for key, each in findings.items() if each.site is None and not each.side]
    return {
        kind: tuple(
            key
            for key, each in findings.items()
            if each.site and (kind in re.split("[ _]", f"{each.name} {key}") or each.name.endswith(kind))
        )
        for kind in generic
    }
