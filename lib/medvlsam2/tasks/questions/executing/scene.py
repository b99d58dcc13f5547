"""The things that object expressions mean in one scan: facts of single names, or masks that are composed of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.grammar import be, join
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.by_place import limits
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import measure
from medvlsam2.tasks.objects.find import find_object
from medvlsam2.tasks.objects.things import Thing, members_of
from medvlsam2.tasks.questions.executing.outcome import Things
from medvlsam2.tasks.questions.replying.spoken import item_spoken, spoken

_WORST_FIRST: tuple[FactState, ...] = ("not assessed", "outside the field of view", "absent")


@dataclass
class Scene:
    """What one query looks at in one scan.

    Args:
        facts: of the scan.
    """

    facts: Facts
    _masks: dict[str, KeptMask] = field(default_factory=dict, repr=False)

    @property
    def volume(self) -> CTVolume:
        """The scan."""
        return self.facts.volume

    def look_for(self, expressions: Sequence[ObjectExpression]) -> None:
        """Find the masks of all names in some expressions together."""
        self.facts.look_for(dict.fromkeys(key for each in expressions for key in each.keys))

    def things(self, expression: ObjectExpression) -> Things:
        """What an expression means, with its measurements."""
        if all_plain(expression) and all(self._is_fact(item.key) for item in expression.items):
            return self._joined(expression, [self._of_key(item.key) for item in expression.items])
        found = find_object(expression, self.facts)
        if found.mask is None or not found.is_present:
            return Things(expression, found.state, found.reason)
        if expression.without or not found.things:
            each = [self._made(expression, found.mask, None)]
        else:
            each = [self._fact_of(expression, thing, number) for number, thing in enumerate(found.things, start=1)]
        each.sort(key=lambda fact: -(fact.volume_ml or 0.0))
        return Things(expression, "present", " ".join(found.notes), self._together(expression, each), tuple(each))

    def mask(self, fact: Fact) -> KeptMask:
        """The mask of a fact, or of a thing that an expression means."""
        if fact.id in self._masks:
            return self._masks[fact.id]
        kept = self.facts.kept_mask(fact)
        assert kept is not None, f"{fact.id} has no mask"
        return kept

    def _is_fact(self, key: str) -> bool:
        """Whether a name is a fact of its own; "cyst" stands for the cysts of all organs."""
        known = vocabulary.STRUCTURES[key]
        return not known.is_finding or key in self.facts.rules or self.facts.source.knows(key) or bool(known.parts)

    def _of_key(self, key: str) -> tuple[Fact, ...]:
        if vocabulary.STRUCTURES[key].is_finding:
            return self._or_special_kinds(key, self.facts.finding(key))
        return (self.facts.structure(key),)

    def _or_special_kinds(self, key: str, told: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """What is known of a general word, such as "aneurysm"; if nothing is seen by it, what is seen of its kinds."""
        if any(fact.is_present for fact in told):
            return told
        kinds = dict.fromkeys(name for (kind, _), name in FINDING_KEYS.items() if kind == key and name != key)
        known = [name for name in kinds if name in self.facts.rules or self.facts.source.knows(name)]
        return tuple(fact for name in known for fact in self.facts.finding(name) if fact.is_present) or told

    def _joined(self, expression: ObjectExpression, of_items: list[tuple[Fact, ...]]) -> Things:
        seen = [fact for facts in of_items for fact in facts if fact.is_present]
        missing = [facts[0] for facts in of_items if not facts[0].is_present]
        state: FactState = next((one for one in _WORST_FIRST if any(fact.state == one for fact in missing)), "present")
        if not seen:
            reason = next((fact.reason for fact in missing if fact.state == state), "")
            return Things(expression, state, reason, each=())
        reason = " ".join(dict.fromkeys(fact.reason for fact in seen if fact.reason and len(of_items) == 1))
        if missing:
            without = join([anatomy.the(fact.key) for fact in missing])
            are = "are" if len(missing) > 1 else be(without)
            reason = f"This is without {without}, which {are} {missing[0].state}."
        reason = " ".join(filter(None, [reason, *self._limits(expression, seen)]))
        each = [part for fact in seen for part in self._parts(fact)]
        whole = seen[0] if len(seen) == 1 else self._together(expression, seen)
        return Things(expression, "present", reason, whole, tuple(each))

    def _limits(self, expression: ObjectExpression, seen: Sequence[Fact]) -> list[str]:
        """Sentences about the sides on which more of a finding may lie than is seen."""
        keys = dict.fromkeys([*expression.keys, *(fact.key for fact in seen)])
        told = (limits(key, self.facts) for key in keys if vocabulary.STRUCTURES[key].is_finding)
        return [sentence for sentence in dict.fromkeys(told) if sentence]

    def _parts(self, fact: Fact) -> tuple[Fact, ...]:
        """The single things of a fact: those parts of a pair or a series that are seen; else the fact itself."""
        parts = single_parts(fact.key) if fact.kind == "structure" else ()
        seen = [part for part in self.facts.structures(parts) if part.is_present] if parts else []
        return tuple(sorted(seen, key=lambda part: -(part.volume_ml or 0.0))) or (fact,)

    def _together(self, expression: ObjectExpression, seen: Sequence[Fact]) -> Fact:
        if len(seen) == 1:
            return seen[0]
        first, *others = (self.mask(fact) for fact in seen)
        made = self._made(expression, first.union(*others), None)
        return replace(made, cut=any(fact.cut for fact in seen), mask=None)

    def _fact_of(self, expression: ObjectExpression, thing: Thing, number: int) -> Fact:
        """The fact of a thing; a part of one, which has no fact of the scan, is measured."""
        if thing.fact is not None:
            return thing.fact
        made = self._made(expression, thing.kept, number)
        return replace(made, key=thing.key, side=thing.side, structure=thing.host)

    def _made(self, expression: ObjectExpression, mask: KeptMask, number: int | None) -> Fact:
        """A fact of a composed object; its id is the expression."""
        key = expression.items[0].key
        known = vocabulary.STRUCTURES[key]
        name = str(expression) if number is None or number == 1 else f"{expression}.{number}"
        self._masks[name] = mask
        fact = Fact(
            id=name,
            key=key,
            kind="finding" if known.is_finding else "structure",
            name=spoken(expression) if number is None else item_spoken(expression.items[0]),
            code=known.snomed,
            state="present",
            side=known.side,
            mask=name,
        )
        return replace(fact, **measure(mask, self.volume).fields())


def is_plain(item: Item) -> bool:
    """Return whether an item is a name alone, without a choice, a part or a condition."""
    return item.pick is None and item.part is None and not item.conditions


def all_plain(expression: ObjectExpression) -> bool:
    """Return whether an expression is names alone."""
    return not expression.without and all(is_plain(item) for item in expression.items)


def single_parts(key: str) -> tuple[str, ...]:
    """Return the single things that a name of several means: both kidneys, all ribs; none for a single organ.

    Example:
        >>> single_parts("kidneys"), len(single_parts("ribs")), single_parts("lung_left")
        (('kidney_left', 'kidney_right'), 24, ())
    """
    return () if vocabulary.STRUCTURES[key].is_finding else members_of(key)
