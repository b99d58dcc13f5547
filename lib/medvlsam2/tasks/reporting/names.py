"""Names in a sentence: structures, findings with and without their place, and numbers, each replaced by a mark.

The reader knows the vocabulary, the nouns that texts use for findings, and the names of the rules in a scan's facts. It
does not know which sentence was written for which fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.clinical import finding_nouns, kinds_of_finding, structure_names
from medvlsam2.data.language.grammar import plural
from medvlsam2.data.language.grounded.rule_words import QUANTITIES
from medvlsam2.data.language.grounded.stated import nouns
from medvlsam2.data.quantities import unit_of
from medvlsam2.data.structures.table import Side


@dataclass(frozen=True)
class Named:
    """What a name means.

    Args:
        kind: of a finding; None for a structure.
        structure: vocabulary key of the structure, or of the structure that holds the finding.
        side: of a finding.
        keys: keys of the facts that the name is the name of, where it is the name of findings in the vocabulary or of a
            rule; then kind, structure and side do not matter.
    """

    kind: str | None = None
    structure: str | None = None
    side: Side | None = None
    keys: frozenset[str] = frozenset()
    quantity: str = ""
    """Name of a measured quantity; then nothing else is set."""

    @property
    def is_finding(self) -> bool:
        """Whether it is the name of a finding, with or without its place."""
        return self.kind is not None or bool(self.keys)


@dataclass(frozen=True)
class Number:
    """A number with its unit as it stands in the text."""

    text: str
    unit: str
    """As facts write it."""
    second: str | None = None
    """The number behind "×"."""


@dataclass
class Marked:
    """A sentence in lower case whose names and numbers are marks.

    ⟨s0⟩ is a structure, ⟨f1⟩ a finding with its place, ⟨k2⟩ a kind of finding, ⟨q3⟩ a measured quantity, ⟨n4⟩ a number.
    """

    text: str
    names: dict[int, Named]
    numbers: dict[int, Number]


_NUMBER: Final = re.compile(
    r"(?<![\w.⟨-])(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?: × (\d+(?:\.\d+)?))?(?: ?(mm³|mm|mL|HU|%|cm²))?"
    r"(?![\w%²³]|\.\d|-\d|,\d)"
)


class Names:
    """The names that a reader knows for one scan.

    Args:
        tables: facts whose rules have names of their own.
    """

    def __init__(self, tables: Iterable[FactTable]) -> None:
        own: dict[str, set[str]] = {}
        for fact in (fact for table in tables for fact in table if fact.kind != "structure"):
            for name in _own_names(fact):
                if name.lower() not in _general():
                    own.setdefault(name.lower(), set()).add(fact.key)
        self._own = {name: Named(keys=frozenset(keys)) for name, keys in own.items()}
        self._own_pattern = _alternatives(self._own) if own else None

    def mark(self, sentence: str) -> Marked:
        """Return the sentence with marks."""
        marked = Marked("", {}, {})

        def name(match: re.Match[str]) -> str:
            spoken = match.group().lower()
            meaning = self._own[spoken] if spoken in self._own else _general()[spoken]
            number = len(marked.names) + len(marked.numbers)
            marked.names[number] = meaning
            return f"⟨{_letter(meaning)}{number}⟩"

        def figure(match: re.Match[str]) -> str:
            number = len(marked.names) + len(marked.numbers)
            marked.numbers[number] = Number(match.group(1), unit_of(match.group(3) or ""), match.group(2))
            return f"⟨n{number}⟩"

        text = sentence if self._own_pattern is None else self._own_pattern.sub(name, sentence)
        text = _general_pattern().sub(name, text)
        marked.text = _NUMBER.sub(figure, text).lower().strip().rstrip(".")
        return marked


def _letter(meaning: Named) -> str:
    if meaning.quantity:
        return "q"
    if not meaning.is_finding:
        return "s"
    return "k" if meaning.kind is not None and meaning.structure is None else "f"


def _own_names(fact: Fact) -> list[str]:
    return list(dict.fromkeys([fact.name, *(nouns(fact) if fact.kind == "rule" else ())]))


@cache
def _general() -> dict[str, Named]:
    """Return the names that do not depend on a scan; a noun with its place comes before other meanings."""
    found: dict[str, Named] = {}
    for noun, (kind, structure, side) in finding_nouns().items():
        found[noun] = Named(kind, structure, side)
    for form, kind in kinds_of_finding().items():
        found.setdefault(form, Named(kind))
    for name, key in structure_names().items():
        found.setdefault(name, Named(structure=key))
    for key, known in vocabulary.STRUCTURES.items():
        if known.is_finding:
            keys = frozenset({key, *known.parts})
            for name in (known.name, *known.synonyms):
                found.setdefault(name.lower(), Named(keys=keys))
                found.setdefault(plural(name.lower()), Named(keys=keys))
    for key in vocabulary.STRUCTURES:
        if anatomy.is_pair(key):
            found.setdefault(f"both {anatomy.name(key)}", Named(structure=key))
    for quantity in QUANTITIES:
        found.setdefault(quantity, Named(quantity=quantity))
    return found


@cache
def _general_pattern() -> re.Pattern[str]:
    return _alternatives(_general())


def _alternatives(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of whole words that prefers the longest text."""
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)
