"""Reads findings back from report text by rule: for clinical F1, and to tie a sentence to its structures.

It understands the sentences that ``reports`` writes, and plain wording near them; it is no general reader of
free reports. What it does not understand it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts, Side
from medvlsam2.data.language import anatomy, lesions

Finding = tuple[str, str | None, Side | None]
"""Kind, vocabulary key of its structure, side; "normal" and "absent" are kinds too."""

_SHORTEST_NAME = 4
_STATES = {"normal": "normal", "unremarkable": "normal", "absent": "absent", "not seen": "absent"}
_LIST = r"⟨\d+⟩(?:(?:, | and |, and )(?:the )?⟨\d+⟩)*"


def parse_findings(text: str) -> frozenset[Finding]:
    """Every finding that a report states, and every structure that it calls normal or absent.

    Example:
        >>> sorted(parse_findings("There is a 12 mm cyst in the left kidney. The liver is normal."))
        [('cyst', 'kidney_left', 'left'), ('normal', 'liver', None)]
    """
    return frozenset(finding for sentence in split_sentences(text) for finding in _of_sentence(sentence))


def structures_in(sentence: str) -> tuple[str, ...]:
    """Keys of the anatomical structures that a sentence names, in order, each once.

    Example:
        >>> structures_in("The spleen and left kidney are normal.")
        ('spleen', 'kidney_left')
    """
    return tuple(dict.fromkeys(_mentions()[match.group().lower()] for match in _mention().finditer(sentence)))


def stated_findings(facts: ScanFacts) -> frozenset[Finding]:
    """What a complete report of these facts states: the truth to compare ``parse_findings`` with."""
    return frozenset((lesion.kind, lesion.structure, lesions.stated_side(lesion)) for lesion in facts.lesions)


def split_sentences(text: str) -> list[str]:
    """Sentences of a report, without its headings."""
    body = re.sub(r"\b(?:Findings|Impression):\s*", "", text)
    return [part.strip() for part in re.split(r"(?<=[.;?!])\s+", body) if part.strip()]


def _of_sentence(sentence: str) -> Iterator[Finding]:
    keys: list[str] = []

    def mark(match: re.Match[str]) -> str:
        keys.append(_mentions()[match.group().lower()])
        return f"⟨{len(keys) - 1}⟩"

    marked = _mention().sub(mark, sentence).lower()
    yield from _states(marked, keys)
    for kind, index, side in _stated(marked):
        key = None if index is None else keys[index]
        yield kind, key, side or (None if key is None else anatomy.side(key))
    for match in re.finditer(r"\b(left|right) (?:pleural )?effusions?\b", marked):
        side = "left" if match.group(1) == "left" else "right"
        yield "effusion", f"lung_{side}", side
    if re.search(r"(?<!no )\bgallstones?\b", marked):
        yield "stone", "gallbladder", None


def _states(marked: str, keys: list[str]) -> Iterator[Finding]:
    """Structures called normal or absent; a pair counts as its two sides."""
    words = "|".join(_STATES)
    for match in re.finditer(rf"({_LIST}) (?:is|are) ({words})\b", marked):
        for index in re.findall(r"⟨(\d+)⟩", match.group(1)):
            key = keys[int(index)]
            parts = vocabulary.STRUCTURES[key].parts if anatomy.is_pair(key) else (key,)
            yield from ((_STATES[match.group(2)], part, anatomy.side(part)) for part in parts)


def _stated(marked: str) -> Iterator[tuple[str, int | None, Side | None]]:
    """Kind, number of the mention of its structure, and a side told apart from it."""
    for match in _kind().finditer(marked):
        kind = _kinds()[match.group()]
        before, after = marked[: match.start()], marked[match.end() :]
        if re.search(r"\bno (?:\w+ )?(?:⟨\d+⟩ )?$", before):
            continue
        behind = re.match(r" (?:in|of) (?:the )?⟨(\d+)⟩(?: on the (left|right) side)?", after)
        ahead = re.search(r"⟨(\d+)⟩ $", before) or re.search(r"⟨(\d+)⟩ contains? [^⟨]*$", before)
        found = behind or ahead
        if found is None:
            if not before.endswith(("pleural ", "gall")):
                yield kind, None, None
            continue
        side: Side | None = None
        if behind is not None and behind.group(2):
            side = "left" if behind.group(2) == "left" else "right"
        yield kind, int(found.group(1)), side


@cache
def _kinds() -> dict[str, str]:
    """Singular and plural to kind."""
    return {form: kind for kind in lesions.KINDS for form in (kind, lesions.plural_kind(kind))}


@cache
def _kind() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_alternatives(_kinds())})\b")


@cache
def _mentions() -> dict[str, str]:
    """Names, synonyms and adjectives of structures, in lower case, to their keys."""
    found: dict[str, str] = {}
    for key, structure in vocabulary.STRUCTURES.items():
        if structure.is_finding:
            continue
        adjective = anatomy.adjective(key)
        texts = [structure.name, *structure.synonyms, *([adjective] if adjective else [])]
        for text in texts:
            if len(text) >= _SHORTEST_NAME or text == structure.name:
                found.setdefault(text.lower(), key)
    return found


@cache
def _mention() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_alternatives(_mentions())})\b", re.IGNORECASE)


def _alternatives(texts: dict[str, str]) -> str:
    """A pattern that takes the longest text first."""
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
