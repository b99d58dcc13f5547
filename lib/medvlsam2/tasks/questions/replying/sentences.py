"""Answers as sentences: what a query's outcome says in words, without a number that the outcome does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language.grammar import be, capital, count_word, join, plural, sentence
from medvlsam2.data.quantities import told, told_apart
from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskList,
    AskMeasure,
    AskMore,
    AskObject,
    AskRatio,
    AskScan,
    AskState,
    AskWhich,
    Measure,
)
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.units import USUAL, converted
from medvlsam2.tasks.questions.replying.about_objects import is_finding, object_sentence, subject
from medvlsam2.tasks.questions.replying.spoken import noun, spoken

MOST_LISTED: Final = 40
"""Names that one answer lists; a scan of the trunk shows about 100 structures."""
_MORE: Final[dict[Measure, tuple[str, str, str, str]]] = {
    "volume": ("larger", "smaller", "largest", "smallest"),
    "length": ("longer", "shorter", "longest", "shortest"),
    "short axis": ("wider", "narrower", "widest", "narrowest"),
    "density": ("denser", "less dense", "densest", "least dense"),
}
"""Words for more, less, most and least of each measure."""


def full_sentence(outcome: Outcome, polar: bool | None = None) -> str:
    """Return the answer as a sentence, with a second sentence for what limits it.

    Args:
        outcome: of a query.
        polar: the answer to a question that wants yes or no, where the outcome is no such answer itself.
    """
    if not outcome.is_known:
        return not_known(outcome)
    said = _said(outcome)
    if polar is not None:
        told_yes, _, rest = said.partition(", ")
        said = f"{'yes' if polar else 'no'}, {_lowered(rest if told_yes in ('yes', 'no') else said)}"
    return " ".join([sentence(said), *_limits(outcome)])


def not_known(outcome: Outcome) -> str:
    """Return why there is no answer, in one sentence."""
    things = outcome.chosen or (outcome.things[0] if outcome.things else None)
    reason = outcome.reason.strip()
    if outcome.state == "absent" and things is not None:
        if is_finding(things):
            return sentence(f"no {noun(things.expression.items[0])} is seen")
        name = spoken(things.expression)
        return sentence(f"{name} {be(name)} not seen in this scan")
    if outcome.state == "outside the field of view" and things is not None:
        name = spoken(things.expression)
        told_why = f": {_lowered(reason)}" if reason else ""
        return sentence(f"{name} {be(name)} outside the field of view{told_why}")
    if not reason and things is not None:
        reason = f"{spoken(things.expression)} could not be measured"
    return sentence(f"Not assessed: {_lowered(reason)}")


def _said(outcome: Outcome) -> str:
    match outcome.query:
        case AskObject():
            return object_sentence(outcome)
        case AskMeasure():
            return _measured(outcome, outcome.query)
        case AskDistance():
            return _distance(outcome)
        case AskRatio() | AskDifference():
            return _compared(outcome, outcome.query)
        case AskWhich():
            return _which(outcome, outcome.query)
        case AskMore():
            return _more(outcome, outcome.query)
        case AskState():
            return _state(outcome, outcome.query)
        case AskList():
            return _listed(outcome, outcome.query)
        case AskScan():
            return _of_scan(outcome, outcome.query)
        case _:
            raise AssertionError(f"'{outcome.query}' has no outcome")


def _measured(outcome: Outcome, query: AskMeasure) -> str:
    things, (least, end) = outcome.things[0], _cut(outcome.things[0])
    name, value = subject(things), told(_number(outcome), outcome.unit)
    several = is_finding(things) and len(things.each) > 1
    if query.measure == "density":
        spread = f" (standard deviation {told(outcome.detail['sd'], 'HU')})" if "sd" in outcome.detail else ""
        return f"the mean density of {name} is {value}{spread}"
    if query.measure == "volume":
        return f"the volume of {name} is {least}{value}{' in total' if several else ''}{end}"
    if query.measure == "short axis":
        which = f"the largest of {name}" if several else name
        return f"the short axis of {which} is {least}{value}{end}"
    if is_finding(things):
        return f"{f'the largest of {name}' if several else name} measures {least}{value}{end}"
    space = outcome.detail.get("in space")
    in_space = "" if space is None else f"; its longest extent in three dimensions is {_in(space, outcome.unit)}"
    which = f"the longer of {name}" if len(things.each) > 1 else name
    return f"the longest diameter of {which} on a slice is {least}{value}{end or in_space}"


def _distance(outcome: Outcome) -> str:
    first, second = (subject(things) for things in outcome.things)
    if _number(outcome) == 0:
        return f"{first} and {second} touch, so their distance is {told(0.0, outcome.unit)}"
    return f"the shortest distance from {first} to {second} is {told(_number(outcome), outcome.unit)}"


def _compared(outcome: Outcome, query: AskRatio | AskDifference) -> str:
    first, second = (subject(things) for things in outcome.things)
    both = f"({join(told_apart([outcome.detail['first'], outcome.detail['second']], USUAL[query.measure]))})"
    start, value = f"the {query.measure} of {first} is", _number(outcome)
    if isinstance(query, AskRatio):
        share = f"{told(value, '%')} of" if outcome.unit == "%" else f"{told(value, '')} times"
        return f"{start} {share} that of {second} {both}"
    if value == 0:
        return f"{start} equal to that of {second} {both}"
    return f"{start} {told(abs(value), outcome.unit)} {'more' if value > 0 else 'less'} than that of {second} {both}"


def _which(outcome: Outcome, query: AskWhich) -> str:
    seen = sorted(
        (things for things in outcome.things if things.is_present),
        key=lambda things: list(outcome.detail).index(str(things.expression)),
    )
    more, less, most, least = _MORE[query.measure]
    is_most = query.order == "greatest"
    names = [subject(things) for things in seen]
    values = join(told_apart([outcome.detail[str(things.expression)] for things in seen], USUAL[query.measure]))
    missing = [spoken(things.expression) for things in outcome.things if not things.is_present]
    rest = f"; {join(missing)} {'are' if len(missing) > 1 else be(missing[0])} not seen" if missing else ""
    if len(seen) == 1:
        return f"{names[0]} ({values}) {be(names[0])} the only one that is seen{rest}"
    if len(seen) == 2:
        return f"{names[0]} {be(names[0])} {more if is_most else less} than {names[1]} ({values}){rest}"
    others = join(names[1:])
    return f"{names[0]} {be(names[0])} the {most if is_most else least}, compared with {others} ({values}){rest}"


def _more(outcome: Outcome, query: AskMore) -> str:
    usual, (first, second) = USUAL[query.measure], (outcome.detail["first"], outcome.detail["second"])
    if isinstance(query.second, tuple):
        number, unit = query.second
        value, _ = told_apart([converted(first, usual, unit), number], unit)
        limit = f"{number:,.6g} {unit}"
    else:
        value, other = told_apart([first, second], usual)
        limit = f"that of {subject(outcome.things[1])} ({other})"
    started = f"the {query.measure} of {subject(outcome.things[0])} ({value})"
    yes, negation = ("yes", "") if outcome.value else ("no", "not ")
    return f"{yes}, {started} is {negation}{query.order} than {limit}"


def _state(outcome: Outcome, query: AskState) -> str:
    name = subject(outcome.things[0])
    if query.state == "normal":
        if outcome.value:
            return f"yes, nothing that was measured of {name} is abnormal"
        return f"no, {name} {be(name)} not normal: {join(grouped(_of_kind(outcome.evidence)))}"
    rule = outcome.evidence[0]
    measured = ""
    if rule.value is not None and rule.threshold is not None:
        value, limit = told_apart([rule.value, rule.threshold], rule.unit)
        measured = f" ({value}; the limit is {limit})"
    yes, negation = ("yes", "") if outcome.value else ("no", "not ")
    return f"{yes}, {name} {be(name)} {negation}{query.state}{measured}"


def _listed(outcome: Outcome, query: AskList) -> str:
    place = f" in {spoken(outcome.things[0].expression)}" if outcome.things else ""
    assert isinstance(outcome.value, tuple)
    if query.category == "findings":
        return _findings(outcome.evidence, place)
    names = [str(name) for name in outcome.value]
    if "seen" in outcome.detail:
        named = join(names) if names else "none of them"
        verb = "are" if len(names) > 1 else be(named)
        return f"{named} {verb} {'' if outcome.detail['seen'] else 'not '}visible"
    if not names:
        return f"none of the {query.category} that can be assessed is seen{place}"
    rest = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    shown = f"{', '.join(names[:MOST_LISTED])}{rest}" if rest else join(names)
    verb = "are" if len(names) > 1 else "is"
    return f"{len(names)} of the {query.category} that can be assessed {verb} seen{place}: {shown}"


def _findings(evidence: Sequence[Fact], place: str) -> str:
    groups = grouped(evidence)
    if not groups:
        return f"no finding is seen{place} among those that can be assessed"
    return f"{'this finding is' if len(groups) == 1 else 'these findings are'} seen{place}: {join(groups)}"


def _of_scan(outcome: Outcome, query: AskScan) -> str:
    value = outcome.value
    match query.what:
        case "region":
            return f"this scan shows the {value}"
        case "phase":
            plain = value == "non-contrast"
            return "this is a non-contrast scan" if plain else f"this scan is in the {value} phase"
        case "modality":
            return "this is a CT scan"
        case "plane":
            return f"the slices are {value}"
        case "number of slices":
            return f"the scan has {value} slices"
        case "slice thickness":
            return f"the slices are {_number(outcome):g} mm apart"
        case "voxel size":
            assert isinstance(value, tuple)
            return f"a voxel measures {' × '.join(f'{float(length):g}' for length in value)} mm"
        case "impression":
            groups = grouped(outcome.evidence)
            if not groups:
                return _findings((), "")
            rest = f", besides {join(groups[1:])}" if len(groups) > 1 else ""
            return f"the main finding is {groups[0]}{rest}"


def grouped(facts: Sequence[Fact]) -> list[str]:
    """Return findings in words, those of one name together: "splenomegaly (147 mm)", "two left kidney cysts"."""
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        groups.setdefault(named(fact), []).append(fact)
    return [_group(name, group) for name, group in groups.items()]


def named(fact: Fact) -> str:
    """Return the name of a finding with its side.

    Example:
        >>> named(Fact(id="a", key="kidney_cyst", kind="finding", name="kidney cyst", state="present", side="left"))
        'left kidney cyst'
    """
    return f"{fact.side} {fact.name}" if fact.side is not None and fact.side not in fact.name else fact.name


def _group(name: str, group: Sequence[Fact]) -> str:
    first = group[0]
    size = ""
    if first.kind == "rule" and first.value is not None:
        size = f" ({told(first.value, first.unit)})"
    elif first.kind == "finding" and first.longest_mm:
        longest = told(max(fact.longest_mm or 0.0 for fact in group), "mm")
        size = f" ({longest})" if len(group) == 1 else f" (the largest {longest})"
    is_one = len(group) == 1 or first.kind == "rule" or not is_countable(first.key)
    return f"{name}{size}" if is_one else f"{count_word(len(group))} {plural(name)}{size}"


def _of_kind(facts: Sequence[Fact]) -> list[Fact]:
    return [fact for fact in facts if fact.kind != "structure" and fact.is_present]


def _cut(things: Things) -> tuple[str, str]:
    """What stands before and after a number of a thing that the scan's end cuts."""
    is_cut = (things.whole is not None and things.whole.cut) or any(fact.cut for fact in things.each)
    return ("at least ", f"; the scan ends within {spoken(things.expression)}") if is_cut else ("", "")


def _limits(outcome: Outcome) -> list[str]:
    """Sentences that limit the answer, without what the answer says already."""
    reason = outcome.reason.strip()
    is_said = any(_cut(things)[0] for things in outcome.things) and reason.startswith("The scan ends within")
    polar = isinstance(outcome.query, AskObject) and outcome.query.what == "presence" and bool(outcome.value)
    return [] if not reason or is_said or (polar and reason.startswith("The scan ends within")) else [sentence(reason)]


def _in(length_mm: float, unit: str) -> str:
    return told(converted(length_mm, "mm", "cm"), "cm") if unit == "cm" else told(length_mm, "mm")


def _number(outcome: Outcome) -> float:
    assert isinstance(outcome.value, int | float)
    return float(outcome.value)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def short_answer(outcome: Outcome, polar: bool | None = None) -> str:
    """Return the answer in a few words.

    Args:
        outcome: of a query.
        polar: as for :func:`full_sentence`.
    """
    value = outcome.value
    if value is None:
        return capital(outcome.state if outcome.state not in ("absent", "present") else "not seen")
    if polar is not None:
        value = polar
    match value:
        case bool():
            return "Yes" if value else "No"
        case int() if isinstance(outcome.query, AskObject):
            return count_word(value)
        case int() | float():
            least = _cut(outcome.things[0])[0] if isinstance(outcome.query, AskMeasure) else ""
            least = "" if outcome.unit == "HU" else least
            return f"{value}" if isinstance(value, int) else f"{least}{told(value, outcome.unit)}"
        case tuple():
            return _short_tuple(outcome, value)
        case _:
            return str(value)


def _short_tuple(outcome: Outcome, value: Sequence[object]) -> str:
    if isinstance(outcome.query, AskObject) and outcome.query.what == "slices":
        return f"{value[0]} to {value[1]}"
    if isinstance(outcome.query, AskScan) and outcome.query.what == "voxel size":
        return f"{' × '.join(f'{float(str(length)):g}' for length in value)} mm"
    return join([str(each) for each in value]) if value else "none"
