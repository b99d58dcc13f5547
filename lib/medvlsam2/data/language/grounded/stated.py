"""What a fact states as a finding: its kind, the structure and the side, and the nouns that people say for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table.fact import Fact
from medvlsam2.data.facts import Lesion
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.structures.table import Side


@dataclass(frozen=True, order=True)
class Stated:
    """A finding as texts state it."""

    kind: str
    """Kind of finding: "cyst", "enlargement", or the fact's own name where no table lists a kind."""
    structure: str | None
    """Vocabulary key of the structure; None where the finding's name says no place."""
    side: Side | None

    @property
    def is_known(self) -> bool:
        """Whether the table of findings has nouns for it."""
        return self.structure is not None and self.kind in lesions.KINDS

    def as_lesion(self) -> Lesion:
        """Return it as an imagined lesion, for the nouns of ``lesions``."""
        assert self.structure is not None
        return lesions.imagined(self.kind, self.structure, self.side)


SIZE_RULES: Final[Mapping[str, tuple[str, str]]] = {
    "splenomegaly": ("enlargement", "spleen"),
    "hepatomegaly": ("enlargement", "liver"),
    "cardiomegaly": ("enlargement", "heart"),
}
"""Rules that call a structure enlarged, or normal in size: the kind of finding and the structure."""


def stated(fact: Fact) -> Stated:
    """Return the finding that a fact of a finding or a rule is about, whatever its state.

    Example:
        >>> stated(
        ...     Fact(
        ...         id="kidney_cyst_left",
        ...         key="kidney_cyst_left",
        ...         kind="finding",
        ...         name="left kidney cyst",
        ...         state="present",
        ...         structure="kidney_left",
        ...         side="left",
        ...     )
        ... )
        Stated(kind='cyst', structure='kidney_left', side='left')
    """
    if fact.key in SIZE_RULES:
        return Stated(*SIZE_RULES[fact.key], None)
    known = vocabulary.STRUCTURES.get(fact.key)
    base = fact.key.removesuffix(f"_{known.side}") if known is not None and known.side else fact.key
    kinds = _kinds().get(base)
    structure = fact.structure if kinds is None else _host(fact, kinds)
    if structure is None:
        return Stated(fact.name, None, fact.side)
    kind = _own_kind(fact) if kinds is None else kinds[lesions.host_family(structure)]
    if kind not in lesions.KINDS:
        return Stated(kind, structure, fact.side)
    return Stated(kind, structure, lesions.stated_side(lesions.imagined(kind, structure, fact.side)))


def nouns(fact: Fact) -> list[str]:
    """Return the nouns of a finding with its place, without an article, the usual one first."""
    what = stated(fact)
    if what.structure == "vertebrae":
        return [f"vertebral {what.kind}"]
    if what.is_known:
        found = lesions.nouns(what.as_lesion())
        return list(dict.fromkeys([fact.name, *found])) if fact.key in SIZE_RULES else found
    return [rule_words(fact).noun or fact.name]


def is_countable(what: Stated) -> bool:
    """Return whether a noun of this finding takes an article."""
    return what.kind not in lesions.UNCOUNTABLE and what.is_known


@cache
def _kinds() -> dict[str, dict[str, str]]:
    """Return the kinds of finding by vocabulary key without side, and by family of structures."""
    found: dict[str, dict[str, str]] = {}
    for (kind, family), key in FINDING_KEYS.items():
        found.setdefault(key, {})[family] = kind
    found["pericardial_effusion"] = {"heart": "effusion"}
    found["bladder_stone"] = {"urinary_bladder": "stone"}
    return found


def _host(fact: Fact, kinds: Mapping[str, str]) -> str | None:
    """Return the structure that holds a finding, as the table of findings names it; None if it is not known.

    The facts name a pair of hosts by its pair ("lungs") where they do not know the side.
    """
    own = fact.structure
    if own is not None and lesions.host_family(own) in kinds:
        return own
    if len(kinds) > 1:
        return None
    (family,) = kinds
    sided = f"{family}_{fact.side}"
    if fact.side is not None and sided in vocabulary.STRUCTURES:
        return sided
    return family if family in ("body", "skeletal_muscle") or family in vocabulary.STRUCTURES else None


def _own_kind(fact: Fact) -> str:
    """Return the last word of a finding's key if it is a kind that texts know; a rule's finding is its own kind."""
    base = fact.key.removesuffix("_left").removesuffix("_right")
    last = base.rpartition("_")[2]
    return last if last in lesions.KINDS and fact.kind == "finding" else fact.name
