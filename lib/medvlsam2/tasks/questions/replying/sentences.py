"""Answers as sentences: what a query's outcome says in words, without a number that the outcome does not hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import be, capital, count_word, is_plural, join, sentence
from medvlsam2.data.quantities import told, told_apart, told_exactly
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
from medvlsam2.tasks.questions.executing.outcome import Outcome, Things
from medvlsam2.tasks.questions.executing.units import USUAL, converted
from medvlsam2.tasks.questions.replying.about_objects import any_of, is_finding, object_sentence, subject
from medvlsam2.tasks.questions.replying.listing import grouped, structures_in_words, with_an_article
from medvlsam2.tasks.questions.replying.polar import YesNo
from medvlsam2.tasks.questions.replying.spoken import spoken

_MORE: Final[dict[Measure, tuple[str, str, str, str]]] = {
    "volume": ("larger", "smaller", "largest", "smallest"),
    "length": ("longer", "shorter", "longest", "shortest"),
    "short axis": ("wider", "narrower", "widest", "narrowest"),
    "density": ("denser", "less dense", "densest", "least dense"),
}
"""Words for more, less, most and least of each measure."""


OUTSIDE: Final = "outside the field of view"
PLAIN: Final = YesNo()
"""A question that wants more than yes or no."""


def full_sentence(outcome: Outcome, asked: YesNo = PLAIN) -> str:
    """Return the answer as a sentence, with a second sentence for what limits it.

    Args:
        outcome: of a query.
        asked: what the question wants, from :func:`~medvlsam2.tasks.questions.replying.polar.yes_no`.
    """
    if not _is_answered(outcome, asked):
        return not_known(outcome, asked)
    return " ".join([sentence(_clause(outcome, asked)), *_limits(outcome)])


def not_known(outcome: Outcome, asked: YesNo = PLAIN) -> str:
    """Return why there is no answer; to a question that wants yes or no it begins with "No" or "Not assessed"."""
    things = outcome.chosen or (outcome.things[0] if outcome.things else None)
    reason = outcome.reason.strip()
    if things is None or outcome.state not in ("absent", OUTSIDE):
        if not reason and things is not None:
            reason = f"{spoken(things.expression)} could not be measured"
        return sentence(f"Not assessed: {_lowered(reason)}")
    name = spoken(things.expression)
    is_of_one = isinstance(outcome.query, AskObject | AskMeasure)
    if outcome.state == "absent":
        seen = f"no {any_of(things)} is seen" if is_finding(things) else f"{name} {be(name)} not seen in this scan"
        started = ("no, " if is_of_one else "Not assessed: ") if asked.is_wanted else ""
        return sentence(f"{started}{seen}")
    where = f"the place of {any_of(things)}" if is_finding(things) else name
    said = f"{where} {be(where)} {OUTSIDE}"
    if not asked.is_wanted:
        return sentence(f"{said}: {_lowered(reason)}" if reason else said)
    return " ".join([sentence(f"Not assessed: {said}"), *([sentence(reason)] if reason else [])])


def _is_answered(outcome: Outcome, asked: YesNo) -> bool:
    """Whether there is an answer. What the scan does not show is not seen, but nobody knows that it is missing."""
    return outcome.is_known and not (asked.is_of_absence and outcome.state == OUTSIDE)


def _clause(outcome: Outcome, asked: YesNo) -> str:
    """The answer as a clause; to a question that wants yes or no it begins with that."""
    said = _said(outcome)
    own, _, rest = said.partition(", ")
    if asked.says is None and not (asked.is_negated and own in ("yes", "no")):
        return said
    is_yes = own == "yes" if asked.says is None else asked.says
    clause = _lowered(rest if own in ("yes", "no") else said)
    if asked.is_negated:
        return f"yes, that is right: {clause}" if is_yes else f"no, that is not right: {clause}"
    return f"{'yes' if is_yes else 'no'}, {clause}"


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
    several = len(things.each) > 1
    if query.measure == "density":
        spread = f" (standard deviation {told(outcome.detail['sd'], 'HU')})" if "sd" in outcome.detail else ""
        return f"the mean density of {name} is {value}{spread}"
    if query.measure == "volume":
        return f"the volume of {name} is {least}{value}{' in total' if several else ''}{end}"
    if is_finding(things):
        which = f"the largest of {name}" if several else name
        if query.measure == "short axis":
            return f"the short axis of {which} is {least}{value}{end}"
        return f"{which} measures {least}{value}{end}"
    which = anatomy.the(outcome.evidence[0].key) if several else name
    if query.measure == "short axis":
        return f"the short axis of {which} is {least}{value}{end}"
    space = outcome.detail.get("in space")
    in_space = "" if space is None else f"; its longest extent in three dimensions is {_in(space, outcome.unit)}"
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
            return f"yes, nothing abnormal was found in what was measured of {name}"
        return f"no, {name} {be(name)} not normal: {join(grouped(_of_kind(outcome.evidence)))}"
    rules = [fact for fact in outcome.evidence if fact.kind != "structure"]
    yes, negation = ("yes", "") if outcome.value else ("no", "not ")
    name = _where_present(rules, outcome.things[0]) or name
    return f"{yes}, {name} {be(name)} {negation}{query.state}{_proof(rules)}"


def _where_present(rules: Sequence[Fact], things: Things) -> str:
    """The parts of a pair or a series that are in a state: of "kidneys" perhaps the left one alone; "" for all."""
    parts = [fact.structure for fact in rules if fact.is_present and fact.structure is not None]
    own = {fact.key for fact in things.each}
    return (
        join([anatomy.the(key) for key in dict.fromkeys(parts)]) if len(own) > 1 and set(parts) < own and parts else ""
    )


def _proof(rules: Sequence[Fact]) -> str:
    rule = rules[0]
    if rule.value is not None and rule.threshold is not None:
        value, _ = told_apart([rule.value, rule.threshold], rule.unit)
        return f" ({value}; the limit is {told_exactly(rule.threshold, rule.unit)})"
    present = [fact for fact in rules if fact.kind == "finding" and fact.is_present]
    return f": {join(grouped(present))}" if present else ""


def _listed(outcome: Outcome, query: AskList) -> str:
    place = f" in {spoken(outcome.things[0].expression)}" if outcome.things else ""
    assert isinstance(outcome.value, tuple)
    if query.category == "findings":
        return _findings(outcome.evidence, place)
    names = [str(name) for name in outcome.value]
    if "seen" in outcome.detail:
        named = join(names) if names else "none of them"
        return f"{named} {_are(names)} {'' if outcome.detail['seen'] else 'not '}visible"
    if not names:
        return f"none of the {query.category} that can be assessed is seen{place}"
    shown = structures_in_words([fact.key for fact in outcome.evidence if fact.kind == "structure"])
    if query.category == "vertebrae":
        shown = [each.removeprefix("vertebrae ").removesuffix(" vertebra") for each in shown]
    counted = f"{count_word(len(names))} {query.category} are" if len(names) > 1 else f"one {_ONE[query.category]} is"
    return f"{counted} seen{place}: {join(shown)}"


_ONE: Final = {
    "structures": "structure",
    "organs": "organ",
    "bones": "bone",
    "vessels": "vessel",
    "muscles": "muscle",
    "vertebrae": "vertebra",
    "ribs": "rib",
}


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 or (len(names) == 1 and is_plural(names[0])) else "is"


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
            return f"the slices are {told_exactly(_number(outcome), 'mm')} apart"
        case "voxel size":
            assert isinstance(value, tuple)
            return f"a voxel measures {' × '.join(f'{float(length):g}' for length in value)} mm"
        case "impression":
            groups = grouped(outcome.evidence)
            if not groups:
                return _findings((), "")
            rest = f"; also seen: {join(groups[1:])}" if len(groups) > 1 else ""
            return f"the main finding is {with_an_article(groups[0], outcome.evidence[0])}{rest}"


def _of_kind(facts: Sequence[Fact]) -> list[Fact]:
    return [fact for fact in facts if fact.kind != "structure" and fact.is_present]


def _cut(things: Things) -> tuple[str, str]:
    """What stands before and after a number of a thing that the scan's end cuts."""
    cut = _cut_names([things])
    return ("at least ", f"; the scan ends within {cut}") if cut else ("", "")


def _cut_names(several: Sequence[Things]) -> str:
    """Names of what the scan's end cuts; "" if it cuts nothing."""
    facts = [fact for things in several for fact in things.each if fact.cut and fact.kind != "rule"]
    if facts:
        return join([anatomy.the(key) for key in dict.fromkeys(fact.key for fact in facts)])
    return ""


_SAID_OF_ENDS: Final = re.compile(r"\s*The scan ends within [^.]*\.")


def _limits(outcome: Outcome) -> list[str]:
    """Sentences that limit the answer, without what the answer says already."""
    reason, query = outcome.reason.strip(), outcome.query
    is_presence = isinstance(query, AskObject) and query.what == "presence"
    if is_presence and outcome.state == OUTSIDE:
        return []
    is_measure = isinstance(query, AskMeasure) or (isinstance(query, AskObject) and query.what == "description")
    if (is_presence and outcome.value) or (is_measure and _cut_names(outcome.things)):
        reason = _SAID_OF_ENDS.sub("", reason).strip()
    limits = [sentence(reason)] if reason else []
    compares = isinstance(query, AskRatio | AskDifference | AskWhich | AskMore) and query.measure != "density"
    cut = _cut_names([things for things in outcome.things if things.is_present]) if compares else ""
    return [*limits, sentence(f"the scan ends within {cut}, so not all of it was compared")] if cut else limits


def _in(length_mm: float, unit: str) -> str:
    return told(converted(length_mm, "mm", "cm"), "cm") if unit == "cm" else told(length_mm, "mm")


def _number(outcome: Outcome) -> float:
    assert isinstance(outcome.value, int | float)
    return float(outcome.value)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def short_answer(outcome: Outcome, asked: YesNo = PLAIN) -> str:
    """Return the answer in a few words.

    Args:
        outcome: of a query.
        asked: as for :func:`full_sentence`.
    """
    if not _is_answered(outcome, asked):
        return capital(outcome.state if outcome.state not in ("absent", "present") else "not seen")
    if asked.is_negated:
        return capital(_clause(outcome, asked))
    value = outcome.value if asked.says is None else asked.says
    match value:
        case bool():
            return "Yes" if value else "No"
        case int() if isinstance(outcome.query, AskObject):
            return count_word(value) if value else "none"
        case int():
            return str(value)
        case float():
            return _short_number(outcome, value)
        case tuple():
            return _short_tuple(outcome, value)
        case _:
            return str(value)


def _short_number(outcome: Outcome, value: float) -> str:
    if isinstance(outcome.query, AskScan):
        return told_exactly(value, outcome.unit)
    least = _cut(outcome.things[0])[0] if isinstance(outcome.query, AskMeasure) and outcome.unit != "HU" else ""
    return f"{least}{told(value, outcome.unit)}"


def _short_tuple(outcome: Outcome, value: Sequence[object]) -> str:
    if isinstance(outcome.query, AskObject) and outcome.query.what == "slices":
        return f"{value[0]} to {value[1]}"
    if isinstance(outcome.query, AskScan) and outcome.query.what == "voxel size":
        return f"{' × '.join(f'{float(str(length)):g}' for length in value)} mm"
    if isinstance(outcome.query, AskList) and outcome.query.category != "findings" and "seen" not in outcome.detail:
        return join(
            structures_in_words([fact.key for fact in outcome.evidence if fact.kind == "structure"]) or ["none"]
        )
    return join([str(each) for each in value]) if value else "none"
