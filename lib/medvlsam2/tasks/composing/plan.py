"""Which prompts of a request are searched for by a name, and which are composed from the masks of several names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_numbered, is_pair, the
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.objects.things import is_known, is_of_facts
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.reading.read import Link, Reading, Writer, read_phrase
from medvlsam2.tasks.phrases.several import objects_in
from medvlsam2.tasks.phrases.unclear import NotOneObject, short
from medvlsam2.tasks.phrases.wholes import held_by
from medvlsam2.tasks.prompts import MAX_PHRASE, ObjectPrompt


@dataclass
class Plan:
    """What becomes of the prompts of a request; they are counted from 0.

    Args:
        searched: prompts that are searched for as before: names, phrases that no one reads, clicks, boxes, masks.
        composed: phrases that are composed, with what they mean.
        understood: for prompts that were read as a name which they do not hold, that name in plain English.
        notes: sentences for the annotator.
    """

    searched: dict[int, ObjectPrompt] = field(default_factory=dict)
    composed: dict[int, ObjectExpression] = field(default_factory=dict)
    understood: dict[int, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_understood(self, number: int, result: ObjectResult) -> ObjectResult:
        """The result of a prompt that was searched for, with the name as which it was read."""
        spoken, expression = self.understood.get(number, (None, None))
        return replace(result, understood_as=spoken, expression=expression)


def plan(
    prompts: Sequence[ObjectPrompt],
    facts: Facts,
    writer: Writer,
    link: Link | None,
) -> Plan:
    """Read the phrases among some prompts.

    Args:
        prompts: of the request.
        facts: of the scan; nothing is measured here.
        writer: gives who reads what no rule reads; None: nobody does. Asked for only if there is such a phrase.
        link: finds names for the writer.

    Raises:
        InvalidPrompt: if a phrase names a side of the picture or misspells a side, or if a model's reading of it does
            not agree with its words.
        Cancelled: if the work is no longer wanted.
    """
    made = Plan()
    for number, prompt in enumerate(prompts):
        phrase = prompt.text
        if phrase is None or prompt.is_placed or prompt.points_ijk or not _is_readable(phrase):
            made.searched[number] = prompt
            continue
        reading = read_phrase(phrase, writer, link)
        if reading.refused:
            raise InvalidPrompt(f"{reading.refused} Name what is wanted, e.g. 'left kidney', or click on it.")
        whole = _of_facts(number, prompts, facts) if reading.expression is None else None
        if whole is not None:
            made.composed[number] = whole
        else:
            _add(made, number, prompt, reading, facts)
    return made


def _of_facts(number: int, prompts: Sequence[ObjectPrompt], facts: Facts) -> ObjectExpression | None:
    """A name whose mask the facts have, so that the mask is what texts tell of it.

    That is a pair which is measured as the union of both sides, and every finding: its fact also holds what a search by
    density and shape or a rule found, and lacks what measuring disproved.

    None for other names (a search for 24 ribs takes long), and where another object of the request belongs to it: those
    share one label map, in which a whole is the union of what is found of them.
    """
    known = [None if one.text is None else vocabulary.lookup(" ".join(plain(one.text).split())) for one in prompts]
    whole = known[number]
    if whole is not None and is_of_facts(whole.key, facts):
        return ObjectExpression((Item(whole.key),))
    if whole is None or not is_pair(whole.key) or not facts.is_joined(whole.key):
        return None
    others = {one.key for place, one in enumerate(known) if one is not None and place != number}
    is_shared = not others.isdisjoint(held_by(whole.key)) or any(whole.key in held_by(key) for key in others)
    return None if is_shared else ObjectExpression((Item(whole.key),))


def _is_readable(phrase: str) -> bool:
    """Whether a phrase means one object; others are refused as before, when they are searched for."""
    if len(phrase) > MAX_PHRASE:
        return False
    try:
        return len(parts := objects_in(phrase)) == 1 or all(map(_is_of_a_series, parts))
    except NotOneObject:
        return True
    except InvalidPrompt:
        return False


def _is_of_a_series(name: str) -> bool:
    """Whether a name is that of one vertebra or rib: "L1 to L3" is one object of three of them."""
    known = vocabulary.lookup(name)
    return known is not None and is_numbered(known.key)


def _add(made: Plan, number: int, prompt: ObjectPrompt, reading: Reading, facts: Facts) -> None:
    expression, shown = reading.expression, short((prompt.text or "").strip())
    is_answerable = reading.is_written or reading.name is not None
    if expression is None or not (is_answerable or all(is_known(key, facts) for key in expression.keys)):
        made.searched[number] = prompt
        return
    if reading.unused:
        listed = ", ".join(f"'{short(word)}'" for word in reading.unused)
        made.notes.append(f"Of '{shown}' the words {listed} were not used. Check what is marked.")
    if reading.name is None or is_of_facts(vocabulary.find(reading.name).key, facts):
        made.composed[number] = expression
        return
    made.searched[number] = replace(prompt, text=reading.name, name=prompt.name or prompt.display_name)
    spoken = the(vocabulary.find(reading.name).key)
    made.understood[number] = (spoken, str(expression))
    made.notes.append(f"'{shown}' was understood as {spoken}.")
