"""Where the facts of a sentence lie in the scan, and which of their numbers the sentence tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language.grounded.measures import measures
from medvlsam2.data.language.grounded.stated import stated
from medvlsam2.data.quantities.heard import told_in
from medvlsam2.tasks.measure.places import PlaceRAS


@dataclass(frozen=True)
class Measurement:
    """A number of a sentence."""

    fact: str
    """Id of the fact."""
    what: str
    """Field of the fact, e.g. "volume_ml", or "value" of a rule."""
    value: float
    """As in the fact's JSON; the sentence rounds it."""
    unit: str


def measured_in(text: str, facts: Sequence[Fact]) -> tuple[Measurement, ...]:
    """Return the numbers that a sentence tells of its facts.

    Args:
        text: of the sentence.
        facts: that support it.

    Example:
        >>> spleen = Fact(id="spleen", key="spleen", kind="structure", name="spleen", state="present", volume_ml=248.21)
        >>> measured_in("The spleen (248 mL) is seen.", [spleen])
        (Measurement(fact='spleen', what='volume_ml', value=248.21, unit='mL'),)
    """
    return tuple(
        Measurement(fact.id, name, value, unit)
        for fact in facts
        for name, (value, unit) in measures(fact).items()
        if told_in(text, value, unit)
    )


def structures_of(facts: Sequence[Fact]) -> tuple[str, ...]:
    """Return the vocabulary keys of the structures that facts are about, each once."""
    keys = (fact.key if fact.kind == "structure" else stated(fact).structure or fact.structure for fact in facts)
    return tuple(dict.fromkeys(key for key in keys if key is not None and key in vocabulary.STRUCTURES))


def place_of(facts: Sequence[Fact], table: FactTable) -> PlaceRAS | None:
    """Return a place inside the first thing that facts are about and that is seen, in RAS mm; None if nothing is."""
    return next((fact.centre_ras for fact in _shown(facts, table) if fact.centre_ras is not None), None)


def slices_of(facts: Sequence[Fact], table: FactTable) -> tuple[int, int] | None:
    """Return the first and the last slice of what facts are about; None if nothing is seen."""
    spans = [fact.slices for fact in _shown(facts, table) if fact.slices is not None]
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


def _shown(facts: Sequence[Fact], table: FactTable) -> Iterator[Fact]:
    """Yield the facts that have a mask; instead of a rule without one, the facts that it was computed from."""
    for fact in facts:
        if fact.slices is not None or fact.centre_ras is not None:
            yield fact
        elif fact.kind == "rule":
            yield from (found for key in fact.evidence if (found := table.get(key)) is not None)
