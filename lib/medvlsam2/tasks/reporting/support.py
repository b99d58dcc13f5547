"""Whether the facts of a scan support a statement, and which facts do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grounded.prior import Prior
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.language.grounded.stated import stated
from medvlsam2.data.language.grounded.topics import is_finding
from medvlsam2.data.quantities.heard import is_told
from medvlsam2.data.quantities.told import number as digits_of
from medvlsam2.tasks.reporting.names import Named, Number
from medvlsam2.tasks.reporting.statements import Acquisition, Comparison, Measure, Read, State, Statement

FactIds = tuple[str, ...]


class NotSupported(Exception):
    """The facts do not support a statement; the message says why."""


@dataclass(frozen=True)
class Support:
    """The facts that statements are compared with.

    Args:
        table: facts of the scan.
        prior: facts of an earlier scan of the same patient.
    """

    table: FactTable
    prior: Prior | None = None

    def of(self, one: Read) -> FactIds:
        """Return the ids of the facts that support a statement.

        Raises:
            NotSupported: if none does, or one contradicts it.
        """
        if isinstance(one, Acquisition):
            return self._acquisition(one)
        if isinstance(one, Comparison):
            return self._comparison(one)
        return _ids(_CHECKS[one.state](self, one))

    def _acquisition(self, one: Acquisition) -> FactIds:
        told = []
        for fact_id, label in (("region", one.region), ("phase", one.phase)):
            fact = self.table.get(fact_id)
            if label is None:
                continue
            if fact is None or not fact.is_present or fact.label != label:
                raise NotSupported(f"The facts do not say that the {fact_id} is {label}.")
            told.append(fact.id)
        return tuple(told)

    def _comparison(self, one: Comparison) -> FactIds:
        prior = self.prior
        if prior is None or one.date != prior.date:
            raise NotSupported("No scan of this date is known.")
        now, then = _compared(self.table, one), _compared(prior.table, one)
        for fact, number in ((now, one.now), (then, one.then)):
            if not _explains(fact, Measure(number, one.quantity)):
                raise NotSupported(f"The number {number.text} is not what was measured.")
        return (now.id,)

    def present(self, one: Statement) -> list[Fact]:
        """A finding is present, in this number, grade and size."""
        found = self._present(self.table, one.subject)
        if one.heading is not None:
            found = [fact for fact in found if _is_within(stated(fact).structure, one.heading)]
        if not found:
            raise NotSupported("The facts hold no such finding.")
        if one.count is not None and one.count != len(found):
            raise NotSupported(f"The facts hold {len(found)} of these findings.")
        if one.grade:
            found = [fact for fact in found if fact.label == one.grade]
            if not found:
                raise NotSupported(f"The facts do not call it {one.grade}.")
        if one.count is not None and len(one.measures) > 1 and len(one.measures) != one.count:
            raise NotSupported("It lists another number of sizes.")
        for measure in one.measures:
            largest = max(found, key=_size)
            if not any(_explains(fact, measure) for fact in ([largest] if measure.is_most else found)):
                raise NotSupported(f"The number {measure.number.text} is not what was measured.")
        return found

    def absent(self, one: Statement) -> list[Fact]:
        """A finding was looked for on the side that is said, or on both, and is absent."""
        found = [fact for fact in self.table if is_finding(fact) and _matches(fact, one.subject, is_denied=True)]
        if not found or any(fact.state != "absent" for fact in found):
            raise NotSupported("The facts do not say that this finding is absent.")
        sides = {fact.side if fact.kind == "finding" else None for fact in found}
        if None not in sides and len(sides) == 1 and _side_of(one.subject) is None:
            raise NotSupported("The facts say that this finding is absent on one side alone.")
        return found

    def normal(self, one: Statement) -> list[Fact]:
        """A rule measured the structure and found it within limits in this respect."""
        found = []
        for key in _sides_of(one.subject):
            of_key = [
                fact
                for fact in self.table
                if fact.kind == "rule"
                and fact.state == "absent"
                and rule_words(fact).respect == one.respect
                and stated(fact).structure == key
            ]
            if not of_key:
                raise NotSupported(f"No rule found the {anatomy.name(key)} normal in {one.respect}.")
            found += of_key
        for measure in one.measures:
            if not any(_explains(fact, measure) for fact in found):
                raise NotSupported(f"The number {measure.number.text} is not what was measured.")
        return found

    def seen(self, one: Statement) -> list[Fact]:
        """A structure is present, with this volume."""
        found = self._structures(one.subject, self.table)
        if any(not fact.is_present for fact in found):
            raise NotSupported("The facts do not say that this structure is present.")
        for measure in one.measures:
            if len(found) != 1 or found[0].cut or not _explains(found[0], measure):
                raise NotSupported(f"The number {measure.number.text} is not what was measured.")
        return found

    def not_seen(self, one: Statement) -> list[Fact]:
        """A structure was looked for inside the field of view and is absent."""
        found = self._structures(one.subject, self.table)
        if any(fact.state != "absent" for fact in found):
            raise NotSupported("The facts do not say that this structure is absent.")
        return found

    def partly_shown(self, one: Statement) -> list[Fact]:
        """A structure reaches an end of the scan."""
        found = self._structures(one.subject, self.table)
        if any(not (fact.is_present and fact.cut) for fact in found):
            raise NotSupported("The facts do not say that the scan cuts this structure.")
        return found

    def not_assessed(self, one: Statement) -> list[Fact]:
        """Nothing is known of a structure or a finding."""
        if one.subject.is_finding:
            found = [fact for fact in self.table if fact.kind != "structure" and _matches(fact, one.subject)]
        else:
            found = self._structures(one.subject, self.table)
        if not found or any(fact.state != "not assessed" for fact in found):
            raise NotSupported("The facts do not say that this was not assessed.")
        return found

    def nothing(self, _: Statement) -> list[Fact]:
        """Findings were assessed, and none is present."""
        found = [fact for fact in self.table if is_finding(fact) and fact.is_known]
        if not found or any(fact.is_present for fact in found):
            raise NotSupported("The facts hold a finding, or none was assessed.")
        return found

    def unknown(self, _: Statement) -> list[Fact]:
        """No finding was assessed."""
        if any(is_finding(fact) and fact.is_known for fact in self.table):
            raise NotSupported("The facts say that findings were assessed.")
        return []

    def _present(self, table: FactTable, subject: Named) -> list[Fact]:
        return [fact for fact in table if is_finding(fact) and fact.is_present and _matches(fact, subject)]

    def _structures(self, subject: Named, table: FactTable) -> list[Fact]:
        """Return the facts of a structure, or those of both sides where a pair has none of its own."""
        if subject.structure is None:
            raise NotSupported("It names no structure.")
        own = table.get(subject.structure)
        both = [table.get(key) for key in _sides_of(subject)]
        found = [own] if own is not None else both
        if any(fact is None for fact in found):
            raise NotSupported(f"The facts say nothing of the {anatomy.name(subject.structure)}.")
        return [fact for fact in found if fact is not None]


_CHECKS: Final[Mapping[State, Callable[[Support, Statement], list[Fact]]]] = {
    "present": Support.present,
    "absent": Support.absent,
    "normal": Support.normal,
    "seen": Support.seen,
    "not seen": Support.not_seen,
    "partly shown": Support.partly_shown,
    "not assessed": Support.not_assessed,
    "nothing": Support.nothing,
    "unknown": Support.unknown,
}


def _compared(table: FactTable, one: Comparison) -> Fact:
    """Return the one fact of a table that a comparison is about: of a finding, or of what was measured of a structure.

    Raises:
        NotSupported: if there is none, or several.
    """
    subject = one.subject
    if subject.is_finding:
        found = [fact for fact in table if is_finding(fact) and fact.is_known and _matches(fact, subject)]
    elif one.quantity == "volume":
        found = [fact for fact in table if fact.key == subject.structure]
    else:
        rules = [fact for fact in table if fact.kind == "rule" and stated(fact).structure == subject.structure]
        found = [fact for fact in rules if rule_words(fact).quantity == one.quantity]
    if len(found) != 1:
        raise NotSupported("The facts do not say what is compared.")
    return found[0]


def _ids(facts: Iterable[Fact]) -> FactIds:
    return tuple(dict.fromkeys(fact.id for fact in facts))


def _size(fact: Fact) -> float:
    return fact.longest_mm or fact.volume_ml or fact.value or 0.0


def _sides_of(subject: Named) -> Sequence[str]:
    key = subject.structure
    assert key is not None
    return vocabulary.STRUCTURES[key].parts if anatomy.is_pair(key) else (key,)


def _side_of(subject: Named) -> str | None:
    if subject.side is not None:
        return subject.side
    keyed = {vocabulary.STRUCTURES[key].side for key in subject.keys if key in vocabulary.STRUCTURES}
    return next(iter(keyed)) if len(keyed) == 1 else None


def _matches(fact: Fact, subject: Named, *, is_denied: bool = False) -> bool:
    """Return whether a name is that of a fact's finding.

    A fact whose side is not known is denied with each side, but it does not state the finding on one side.
    """
    if subject.keys:
        return any(_has_key(fact, key, is_denied=is_denied) for key in subject.keys)
    what = stated(fact)
    if what.kind != subject.kind:
        return False
    if subject.side is not None and what.side != subject.side and not (is_denied and fact.side is None):
        return False
    if subject.structure is None:
        return True
    wider = is_denied and what.structure is not None and subject.structure in anatomy.leaves(what.structure)
    return what.structure == subject.structure or what.structure in _parts(subject.structure) or wider


def _has_key(fact: Fact, key: str, *, is_denied: bool) -> bool:
    if fact.key == key:
        return True
    known = vocabulary.STRUCTURES.get(key)
    if known is None or known.side is None or fact.kind != "finding":
        return False
    same_side = fact.side == known.side or (is_denied and fact.side is None)
    return fact.key == key.removesuffix(f"_{known.side}") and same_side


def _parts(key: str) -> Sequence[str]:
    return vocabulary.STRUCTURES[key].parts if anatomy.is_pair(key) else ()


def _is_within(structure: str | None, heading: str) -> bool:
    """Return whether a structure may stand under the heading of another: the same one, or a part of it."""
    return structure is not None and structure in anatomy.leaves(heading)


def _explains(fact: Fact, measure: Measure) -> bool:
    """Return whether a number is what was measured of a fact, under the name that the sentence gives it."""
    number = measure.number
    if measure.is_limit:
        return fact.threshold is not None and number.unit == fact.unit and _is_shown(number, fact, "threshold")
    if measure.is_least != fact.is_at_least:
        return False
    return any(_is_shown(number, fact, name) for name in _fields(fact, measure))


def _fields(fact: Fact, measure: Measure) -> Iterator[str]:
    """Yield the fields of a fact that a number of this unit and quantity may be."""
    unit, quantity = measure.number.unit, measure.quantity
    if fact.value is not None:
        if unit == fact.unit and quantity in ("", rule_words(fact).quantity):
            yield "value"
        return
    of_unit = {"mm": ("longest_mm", ""), "mL": ("volume_ml", "volume"), "HU": ("mean_hu", "mean density")}
    if unit in of_unit and quantity in ("", of_unit[unit][1]):
        yield of_unit[unit][0]


def _is_shown(number: Number, fact: Fact, name: str) -> bool:
    told = fact.to_json()
    if name not in told or not is_told(number.text, told[name], number.unit):
        return False
    if number.second is None:
        return True
    decimals = len(number.text.partition(".")[2])
    return (
        name == "longest_mm"
        and "short_axis_mm" in told
        and number.second == digits_of(told["short_axis_mm"], "mm", decimals)
    )
