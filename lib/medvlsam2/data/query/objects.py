"""Object expressions: which structures or findings a phrase means, by name, part, place and choice among several.

An expression is composed as a phrase is: "the larger kidney" is ``largest kidneys``, "the cyst in the left kidney
nearest to the liver" is ``cyst in left kidney nearest to liver``, "both lungs without the left lower lobe" is ``lungs
without left lung lower lobe``. Names are those of the vocabulary. Sides are the patient's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medvlsam2.data import vocabulary

Pick = Literal[
    "largest",
    "second largest",
    "smallest",
    "highest",
    "lowest",
    "leftmost",
    "rightmost",
    "foremost",
    "rearmost",
    "densest",
    "least dense",
]
"""Which one of several: by volume, by the place of the centre (highest is nearest to the head), or by mean HU."""
Part = Literal[
    "upper half",
    "lower half",
    "upper third",
    "middle third",
    "lower third",
    "left half",
    "right half",
    "front half",
    "back half",
    "thoracic part",
    "abdominal part",
    "pelvic part",
]
"""Part of an object: by its own extent along one axis of the patient, or by the region of the body."""
Relation = Literal[
    "in",
    "above",
    "below",
    "left of",
    "right of",
    "in front of",
    "behind",
    "nearest to",
    "farthest from",
    "touching",
    "next above",
    "next below",
    "at the level of",
]
"""Relation of an object to a place. "next above" and "next below" count along a series such as vertebrae or ribs."""
Size = Literal["larger than", "smaller than"]
"""Limit of the longest diameter."""


@dataclass(frozen=True)
class Place:
    """The structure that a relation names: one structure, or one of several."""

    key: str
    """Vocabulary key."""
    pick: Pick | None = None
    """Which one of several, e.g. "largest" of the kidneys."""

    def __str__(self) -> str:
        return _picked(self.pick, vocabulary.STRUCTURES[self.key].name)


@dataclass(frozen=True)
class Where:
    """One condition: a relation to a place."""

    relation: Relation
    place: Place

    def __str__(self) -> str:
        return f"{self.relation} {self.place}"


@dataclass(frozen=True)
class OnSide:
    """One condition: the side of the patient's body."""

    side: Literal["left", "right"]

    def __str__(self) -> str:
        return f"on the {self.side}"


@dataclass(frozen=True)
class OfSize:
    """One condition: the longest diameter."""

    size: Size
    diameter_mm: float

    def __str__(self) -> str:
        return f"{self.size} {self.diameter_mm:g} mm"


Condition = Where | OnSide | OfSize


@dataclass(frozen=True)
class Item:
    """One structure or finding with its conditions; the part is taken first, then the choice, e.g. "largest cyst"."""

    key: str
    """Vocabulary key."""
    pick: Pick | None = None
    part: Part | None = None
    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        name = vocabulary.STRUCTURES[self.key].name
        whole = name if self.part is None else f"{self.part} of {name}"
        return " ".join([_picked(self.pick, whole), *(str(each) for each in self.conditions)])


@dataclass(frozen=True)
class ObjectExpression:
    """The union of some items without the union of others."""

    items: tuple[Item, ...]
    without: tuple[Item, ...] = ()

    def __str__(self) -> str:
        """The expression in the language's own text; reading it gives the same expression."""
        kept = " and ".join(str(item) for item in self.items)
        return kept if not self.without else f"{kept} without {' and '.join(str(item) for item in self.without)}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Vocabulary keys of all names in the expression, in order, each once."""
        items = (*self.items, *self.without)
        named = [(item.key, *(each.place.key for each in item.conditions if isinstance(each, Where))) for item in items]
        return tuple(dict.fromkeys(key for keys in named for key in keys))


def sizes_mm(expression: ObjectExpression) -> frozenset[float]:
    """Return all limits of diameters in an expression, in mm."""
    items = (*expression.items, *expression.without)
    return frozenset(one.diameter_mm for item in items for one in item.conditions if isinstance(one, OfSize))


def _picked(pick: Pick | None, name: str) -> str:
    return name if pick is None else f"{pick} {name}"
