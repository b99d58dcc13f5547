"""The facts of one scan in order, each once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medvlsam2.data.fact_table.fact import Fact


@dataclass(frozen=True)
class FactTable:
    """Facts of one scan.

    Args:
        facts: in the order in which a report may tell them; of two with one id the first is kept.

    Example:
        >>> liver = Fact(id="liver", key="liver", kind="structure", name="liver", state="absent")
        >>> table = FactTable((liver,))
        >>> table.get("liver").state, table.get("spleen"), len(table), "liver" in table
        ('absent', None, 1, True)
    """

    facts: tuple[Fact, ...]

    def __post_init__(self) -> None:
        each_once: dict[str, Fact] = {}
        for fact in self.facts:
            each_once.setdefault(fact.id, fact)
        object.__setattr__(self, "facts", tuple(each_once.values()))

    @cached_property
    def by_id(self) -> Mapping[str, Fact]:
        """The facts by their ids."""
        return {fact.id: fact for fact in self.facts}

    def get(self, fact_id: str) -> Fact | None:
        """Return the fact with an id; None if the table has no such fact."""
        return self.by_id.get(fact_id)

    def of_key(self, key: str) -> tuple[Fact, ...]:
        """Return all facts with a key: one of a structure or a rule, one for each lesion of a finding."""
        return tuple(fact for fact in self.facts if fact.key == key)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __contains__(self, fact_id: object) -> bool:
        return fact_id in self.by_id

    def to_json(self) -> list[dict[str, Any]]:
        """Return the facts as plain dictionaries in order."""
        return [fact.to_json() for fact in self.facts]
