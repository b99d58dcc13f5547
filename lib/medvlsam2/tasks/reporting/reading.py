"""Reads a sentence of a report: which findings and structures it names, in which state, with which numbers.

A sentence is read as a whole or not at all. A word that the reader does not know, a number that belongs to nothing, two
states in one sentence: each makes the sentence unreadable, and a report leaves it out.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grounded.slots import GRADES
from medvlsam2.tasks.reporting.acquisition import read_acquisition
from medvlsam2.tasks.reporting.measured import measures_in
from medvlsam2.tasks.reporting.names import Marked, Named, Names
from medvlsam2.tasks.reporting.statements import Comparison, NotRead, Read, State, Statement

_COUNTS: Final = {
    word: count
    for count, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2)
}
_KNOWN_WORDS: Final = frozenset(
    (
        *("a", "an", "the", "there", "is", "are", "be", "can", "has", "have", "and", "or", "in", "of", "on", "with"),
        *("up", "to", "also", "scan", "shows", "show", "contains", "contain", "appears", "appear", "no", "long"),
        *("at", "least"),
        *(
            "seen",
            "present",
            "noted",
            "visible",
            "identified",
            "found",
            "demonstrated",
            "shown",
            "depicted",
            "included",
        ),
        *("measures", "measuring", "measure", "larger", "largest", "evidence", "sign", "limit", "size", "density"),
        *_COUNTS,
        *GRADES,
    )
)
"""Words that a sentence may have besides names, numbers and the words for states."""
_MARK: Final = re.compile(r"⟨[sfkqn]\d+⟩")
_SUBJECT: Final = re.compile(r"⟨([sfk])(\d+)⟩")
_S: Final = r"⟨[sfk]\d+⟩"
_SEEN: Final = re.compile(r"\b(?:seen|visible|shown|shows|depicted|included|identified)\b")
_STATES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "not seen",
        re.compile(
            r"\b(?:not (?:seen|visible|identified|found|shown|present)|absent|cannot be (?:seen|identified|found))\b"
        ),
    ),
    (
        "partly shown",
        re.compile(
            r"\b(?:(?:only )?partly (?:shown|included in the scan|included|covered)|incompletely shown"
            r"|not completely shown|cut by the end of the scan|only a part of)\b"
        ),
    ),
    ("normal", re.compile(r"\b(?:within normal limits|normal|unremarkable)\b")),
    ("enlarged", re.compile(r"\benlarged\b|\bincreased in size\b")),
)
_RESPECTS: Final = ("size", "density")
_NOT_ASSESSED: Final = re.compile(
    r"^(?:not assessed|the following (?:was|were) not assessed|this report does not assess|no statement is made on): "
)
_DENIAL: Final = re.compile(
    rf"^(?:there is |the scan shows )?no (?:evidence of |sign of )?({_S}(?:(?:, | or ){_S})*)"
    r"(?: is (?:seen|present|identified|found|visible))?$"
)
_NOTHING: Final = re.compile(
    r"^(?:none of the (?:findings that were assessed|assessed findings) is present"
    r"|no abnormality (?:among the findings that were assessed|in what was assessed)"
    r"|what was assessed shows no abnormality)$"
)
_UNKNOWN: Final = re.compile(
    r"^(?:findings were not assessed|no statement is made on findings|this report makes no statement on findings"
    r"|no finding was assessed|the presence of findings was not assessed)$"
)
_DATE: Final = r"(?P<date>\d{4}-\d{2}-\d{2})"
_COMPARED_SUBJECT: Final = r"(?:the )?(?:⟨q(?P<quantity>\d+)⟩ of (?:the )?)?⟨[sfk](?P<subject>\d+)⟩"
_THEN, _NOW = r"⟨n(?P<then>\d+)⟩", r"⟨n(?P<now>\d+)⟩"
_COMPARED: Final = tuple(
    re.compile(form)
    for form in (
        rf"^{_COMPARED_SUBJECT}: {_THEN} \({_DATE}\), now {_NOW}$",
        rf"^{_COMPARED_SUBJECT}, {_THEN} on {_DATE}, now measures {_NOW}$",
        rf"^{_COMPARED_SUBJECT} measured {_THEN} on {_DATE} and now measures {_NOW}$",
        rf"^compared with {_DATE}, {_COMPARED_SUBJECT} changed from {_THEN} to {_NOW}$",
    )
)


def read(sentence: str, names: Names) -> list[Read]:
    """Return what a sentence states.

    Args:
        sentence: of a report, without the heading of its section.
        names: that the reader knows.

    Raises:
        NotRead: if a part of the sentence is not understood.
    """
    plain = sentence.strip().rstrip(".").lower()
    if _NOTHING.match(plain):
        return [Statement("nothing")]
    if _UNKNOWN.match(plain):
        return [Statement("unknown")]
    if (acquisition := read_acquisition(plain)) is not None:
        return [acquisition]
    marked = names.mark(sentence)
    if (compared := _comparison(marked)) is not None:
        return [compared]
    if opening := _NOT_ASSESSED.match(marked.text):
        return _listed(marked, marked.text[opening.end() :])
    text, heading = _without_heading(marked)
    found = _statements(marked, _placed(marked, text), heading)
    subjects = [one.subject for one in found if isinstance(one, Statement)]
    if len(set(subjects)) != len(subjects):
        raise NotRead("It names one thing twice.")
    return found


def _comparison(marked: Marked) -> Comparison | None:
    found = next((match for form in _COMPARED if (match := form.match(marked.text))), None)
    if found is None:
        return None
    quantity = "" if found["quantity"] is None else marked.names[int(found["quantity"])].quantity
    then, now = (marked.numbers[int(found[name])] for name in ("then", "now"))
    return Comparison(marked.names[int(found["subject"])], quantity, then, found["date"], now)


def _listed(marked: Marked, rest: str) -> list[Read]:
    if not re.fullmatch(rf"(?:the )?{_S}(?:(?:, | and )(?:the )?{_S})*", rest):
        raise NotRead(f"It lists something that has no name: {_shown(rest)}.")
    return [Statement("not assessed", marked.names[int(number)]) for _, number in _SUBJECT.findall(rest)]


def _without_heading(marked: Marked) -> tuple[str, Named | None]:
    """Return the text behind the heading of a structured report's line, and the structure of the heading."""
    if plain := re.match(r"^(?:bones|soft tissues|abdomen|other findings): ", marked.text):
        return marked.text[plain.end() :], None
    if named := re.match(r"^⟨s(\d+)⟩: ", marked.text):
        return marked.text[named.end() :], marked.names[int(named.group(1))]
    return re.sub(r"^seen: ", "seen ", marked.text), None


def _placed(marked: Marked, text: str) -> str:
    """Return the text with one mark for a kind of finding and its place: "⟨k0⟩ in the ⟨s1⟩", "⟨s1⟩ contains ⟨k0⟩"."""
    kind, place = r"⟨k(?P<kind>\d+)⟩", r"⟨s(?P<place>\d+)⟩"
    forms = (
        rf"{kind} (?:in|of|within) (?:the )?{place}(?: on the (?P<side>left|right) side)?",
        rf"^(?:the )?{place} (?:contains?|shows?) (?P<between>(?:an? )?(?:⟨n\d+⟩ )?){kind}",
        rf"^in (?:the )?{place}(?: on the (?P<side>left|right) side)?, (?P<between>(?:an? )?(?:⟨n\d+⟩ )?){kind}",
    )
    for form in forms:
        text = re.sub(form, lambda match: _joined(marked, match), text)
    return text


def _joined(marked: Marked, match: re.Match[str]) -> str:
    told = match.groupdict()
    number = int(match["kind"])
    structure = marked.names[int(match["place"])].structure
    assert structure is not None
    side = anatomy.side(structure)
    if told.get("side"):
        side = "left" if told["side"] == "left" else "right"
    marked.names[number] = Named(marked.names[number].kind, structure, side)
    return f"{told.get('between') or ''}⟨f{number}⟩"


def _refuse_unknown_words(text: str) -> None:
    rest = re.sub(r"[,()]", " ", _MARK.sub(" ", text))
    if unknown := [word for word in rest.split() if word not in _KNOWN_WORDS]:
        raise NotRead(f"The words {_shown(' '.join(unknown))} are not understood.")


def _statements(marked: Marked, text: str, heading: Named | None) -> list[Read]:
    states = [(state, form) for state, form in _STATES if form.search(text)]
    if len(states) > 1:
        raise NotRead("It states two things that exclude each other.")
    _refuse_unknown_words(states[0][1].sub(" ", text) if states else text)
    is_finding = any(letter != "s" for letter, _ in _SUBJECT.findall(text))
    if re.search(r"\bno\b", text):
        return _denied(marked, text, heading)
    if not states:
        return [_found(marked, text, heading)] if is_finding else _seen(marked, text, heading)
    if is_finding:
        raise NotRead("It states the state of a finding.")
    return _of_state(states[0][0], marked, text, heading)


def _denied(marked: Marked, text: str, heading: Named | None) -> list[Read]:
    found = _DENIAL.match(text)
    if found is None or heading is not None:
        raise NotRead("It denies something in words that are not understood.")
    named = [marked.names[int(number)] for _, number in _SUBJECT.findall(found.group(1))]
    return [Statement("absent" if one.is_finding else "not seen", one) for one in named]


def _of_state(state: str, marked: Marked, text: str, heading: Named | None) -> list[Read]:
    """Return what is said of whole structures: normal, enlarged, partly shown, not seen."""
    named = _structures(marked, text, heading)
    measures = measures_in(marked, text)
    if measures and (len(named) > 1 or state in ("not seen", "partly shown")):
        raise NotRead("It has a number that belongs to no structure.")
    if state == "enlarged":
        return [
            Statement("present", Named("enlargement", one.structure, None), measures, heading=_key(heading))
            for one in named
        ]
    respects = [word for word in _RESPECTS if re.search(rf"\b{word}\b", text)]
    if state != "normal":
        states: dict[str, State] = {"not seen": "not seen", "partly shown": "partly shown"}
        return [Statement(states[state], one) for one in named]
    if len(respects) != 1:
        raise NotRead("It calls something normal without saying in what respect.")
    return [Statement("normal", one, measures, respect=respects[0]) for one in named]


def _structures(marked: Marked, text: str, heading: Named | None) -> list[Named]:
    named = [marked.names[int(number)] for _, number in _SUBJECT.findall(text)]
    if heading is not None:
        named = [heading] if not named else []
    if not named:
        raise NotRead("It does not say of what it speaks.")
    return named


def _found(marked: Marked, text: str, heading: Named | None) -> Statement:
    """Return the statement that a finding is present, with its number, grade and sizes."""
    subjects = _SUBJECT.findall(text)
    if len(subjects) != 1:
        raise NotRead("It speaks of several things at once.")
    (_, number) = subjects[0]
    counts = [_COUNTS[word] for word in text.split() if word in _COUNTS]
    if figure := re.search(rf"⟨n(\d+)⟩ ⟨[fk]{number}⟩", text):
        figured = marked.numbers[int(figure.group(1))]
        if figured.unit == "" and figured.text.isdigit():
            counts.append(int(figured.text))
            text = text.replace(f"⟨n{figure.group(1)}⟩ ", "")
    grades = [word for word in GRADES if re.search(rf"\b{word}\b", text)]
    if len(counts) > 1 or len(grades) > 1:
        raise NotRead("It counts or grades twice.")
    return Statement(
        "present",
        marked.names[int(number)],
        measures_in(marked, text),
        count=counts[0] if counts else None,
        grade=grades[0] if grades else "",
        heading=_key(heading),
    )


def _seen(marked: Marked, text: str, heading: Named | None) -> list[Read]:
    """Return the statements that structures are seen, each with the number behind its name."""
    if heading is None and not _SEEN.search(text):
        raise NotRead("It states nothing that can be checked.")
    if heading is not None:
        _structures(marked, text, heading)
        return [Statement("seen", heading, measures_in(marked, text))]
    starts = [match.start() for match in _SUBJECT.finditer(text)]
    if not starts or re.search(r"⟨n", text[: starts[0]]):
        raise NotRead("It has a number that belongs to no structure.")
    parts = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [Statement("seen", _structures(marked, part, None)[0], measures_in(marked, part)) for part in parts]


def _key(heading: Named | None) -> str | None:
    return None if heading is None else heading.structure


def _shown(text: str) -> str:
    return f'"{text[:60]}"'
