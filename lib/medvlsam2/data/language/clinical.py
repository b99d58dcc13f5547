"""Extraction of findings from report text by rules, for the clinical F1 score and to link a sentence to its structures.

The rules understand the sentences that ``reports`` writes and similar plain wordings. They are no general parser of
free reports: a wording that they do not understand gives no finding. How a sentence is read:

1. Nouns that include a place ("left renal cyst", "cardiomegaly") give a finding each, and are replaced by a mark.
2. The names of structures are replaced by numbered marks: "a cyst in the liver" becomes "a cyst in the ⟨0⟩".
3. States of structures ("⟨0⟩ is enlarged", "no ⟨0⟩ is seen") give the kinds normal, absent, enlargement, dilatation.
4. Each other kind of finding ("cyst") is linked to the mark behind it ("in the ⟨0⟩") or before it ("⟨0⟩ contains a").

A finding after a negation ("no", "without") is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.structures.table import Side

Finding = tuple[str, str | None, Side | None]
"""Kind of finding, vocabulary key of the structure, side. "normal" and "absent" are kinds too."""

_SHORTEST_NAME = 4
"""Shorter synonyms of structures are not searched for in texts: they are often parts of other words."""
_ADJECTIVAL = frozenset({"bone"})
"""Names that describe a kind of finding rather than a place: a bone metastasis is not in every bone."""
_STATES = {
    "normal": (
        *("normal", "unremarkable", "within normal limits", "of normal appearance"),
        *("without abnormality", "free of abnormality"),
    ),
    "absent": (
        *("absent", "not seen", "not visible", "not present", "not identified", "not shown"),
        *("missing", "not found"),
    ),
    "enlargement": ("enlarged", "increased in size"),
    "dilatation": ("dilated", "distended"),
}
"""States of whole structures, with the words for each state."""
_LIST = r"⟨\d+⟩(?:(?:, | and |, and )(?:the |both )?⟨\d+⟩)*"
_NOT = re.compile(r"\b(?:no|without|free of|negative for)\b(?!.*\bbut\b)")
_UNASSESSED = re.compile(
    r"(?:not assessed|the following (?:was|were) not assessed|this report does not assess|no statement is made on):",
    re.IGNORECASE,
)
"""Beginnings of sentences that list what nothing is said of."""
_READ = "▪"
_HOLDS = r"(?:contains?|shows?|holds?|demonstrates?|has|have)"
_SIDES: tuple[Side, Side] = ("left", "right")
_MORE_NOUNS: dict[str, Finding] = {
    "hepatomegaly": ("enlargement", "liver", None),
    "enlargement of the liver": ("enlargement", "liver", None),
    "hepatic enlargement": ("enlargement", "liver", None),
}
"""Nouns of findings that measuring proves and that no phantom has."""


def parse_findings(text: str) -> frozenset[Finding]:
    """Return every finding that a report states, and every structure that the report calls normal or absent.

    Example:
        >>> sorted(parse_findings("There is a 12 mm cyst in the left kidney. The liver is normal."))
        [('cyst', 'kidney_left', 'left'), ('normal', 'liver', None)]
        >>> sorted(parse_findings("Mild cardiomegaly. No ascites."))
        [('enlargement', 'heart', None)]
    """
    return frozenset(finding for sentence in split_sentences(text) for finding in _of_sentence(sentence))


def structures_in(sentence: str) -> tuple[str, ...]:
    """Return the keys of the anatomical structures that a sentence names, in order, each once.

    Example:
        >>> structures_in("The spleen and left kidney are normal.")
        ('spleen', 'kidney_left')
    """
    return tuple(dict.fromkeys(structure_names()[match.group().lower()] for match in _mention().finditer(sentence)))


def stated_findings(facts: ScanFacts) -> frozenset[Finding]:
    """Return the findings of a complete report of these facts: the ground truth for ``parse_findings``."""
    return frozenset((lesion.kind, lesion.structure, lesions.stated_side(lesion)) for lesion in facts.lesions)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a report, without headings."""
    body = re.sub(r"\b(?:Technique|Findings|Impression):\s*", "", text)
    return [part.strip() for part in re.split(r"(?<=[.;?!])\s+", body) if part.strip()]


def _of_sentence(sentence: str) -> Iterator[Finding]:
    if _UNASSESSED.match(sentence):
        return
    found: list[Finding] = []
    keys: list[str] = []

    def read(match: re.Match[str]) -> str:
        if not _NOT.search(match.string[: match.start()].lower()):
            found.append(finding_nouns()[match.group().lower()])
        return _READ

    def mark(match: re.Match[str]) -> str:
        keys.append(structure_names()[match.group().lower()])
        return f"⟨{len(keys) - 1}⟩"

    rest = _noun().sub(read, sentence)
    marked = _mention().sub(mark, rest).lower()
    yield from found
    yield from _states(marked, keys)
    for kind, index, side in _stated(marked):
        key = None if index is None else keys[index]
        yield kind, key, side or (None if key is None else anatomy.side(key))


def _states(marked: str, keys: list[str]) -> Iterator[Finding]:
    """Yield the structures that are called normal, absent or enlarged; a pair gives its two sides."""
    verb = r"(?:(?: is| are| appears?)(?: moderately| mildly| markedly)?|:)? "
    for match in re.finditer(rf"({_LIST}){verb}({_alternatives(_state_words())})\b", marked):
        for index in re.findall(r"⟨(\d+)⟩", match.group(1)):
            yield from _told(_state_words()[match.group(2)], keys[int(index)])
    if absent := re.search(r"\bno ⟨(\d+)⟩ (?:is seen|in this volume)|^there is no ⟨(\d+)⟩", marked):
        yield from _told("absent", keys[int(absent.group(1) or absent.group(2))])


def _told(kind: str, key: str) -> Iterator[Finding]:
    parts = vocabulary.STRUCTURES[key].parts if anatomy.is_pair(key) else (key,)
    yield from ((kind, part, anatomy.side(part)) for part in parts)


def _stated(marked: str) -> Iterator[tuple[str, int | None, Side | None]]:
    """Yield each stated kind, the number of its structure's mark, and a side that is stated separately."""
    for match in _kind().finditer(marked):
        before, after = marked[: match.start()], marked[match.end() :]
        if _NOT.search(before):
            continue
        behind = re.match(
            r"(?: (?:is|are) (?:seen|present|noted|visible|found))?"
            r" (?:in|of|within) (?:the )?⟨(\d+)⟩(?: on the (left|right) side)?",
            after,
        )
        ahead = (
            re.search(r"⟨(\d+)⟩ $", before)
            or re.search(rf"⟨(\d+)⟩ {_HOLDS} [^⟨]*$", before)
            or re.search(r"^(?:with)?in (?:the )?⟨(\d+)⟩,? [^⟨]*$", before)
            or re.search(r"^⟨(\d+)⟩: [^⟨]*$", before)
        )
        kind = kinds_of_finding()[match.group()]
        if behind is not None and behind.group(2):
            yield kind, int(behind.group(1)), "left" if behind.group(2) == "left" else "right"
        elif found := behind or ahead:
            yield kind, int(found.group(1)), None
        else:
            yield kind, None, None


@cache
def _state_words() -> dict[str, str]:
    return {word: kind for kind, words in _STATES.items() for word in words}


@cache
def kinds_of_finding() -> dict[str, str]:
    """Return the singular and plural forms of all kinds, each with its kind."""
    return {form: kind for kind in lesions.KINDS for form in (kind, lesions.plural_kind(kind))}


@cache
def _kind() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_alternatives(kinds_of_finding())})\b")


@cache
def finding_nouns() -> dict[str, Finding]:
    """Return the nouns that include a place, singular and plural, in lower case, each with its finding."""
    found: dict[str, Finding] = dict(_MORE_NOUNS)
    for kind in lesions.HOSTS:
        for key in lesions.plausible_hosts(kind, [*anatomy.single_structures(), "body", "skeletal_muscle"]):
            for side in (None, *_SIDES):
                lesion = lesions.imagined(kind, key, side)
                finding = (kind, key, lesions.stated_side(lesion))
                for noun in lesions.nouns(lesion):
                    found.setdefault(noun.lower(), finding)
                    found.setdefault(lesions.plural_noun(lesion, noun).lower(), finding)
    return found


@cache
def _noun() -> re.Pattern[str]:
    return re.compile(
        rf"\b(?:{_alternatives(finding_nouns())})\b(?! (?:upper|middle|lower) lobe| on the (?:left|right))",
        re.IGNORECASE,
    )


@cache
def structure_names() -> dict[str, str]:
    """Return the names, synonyms and adjectives of structures, in lower case, each with the structure's key."""
    found: dict[str, str] = {}
    for key, structure in vocabulary.STRUCTURES.items():
        if structure.is_finding:
            continue
        adjective = anatomy.adjective(key)
        texts = [structure.name, *structure.synonyms, *([adjective] if adjective else [])]
        for text in texts:
            if text not in _ADJECTIVAL and (len(text) >= _SHORTEST_NAME or text == structure.name):
                found.setdefault(text.lower(), key)
    return found


@cache
def _mention() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_alternatives(structure_names())})\b", re.IGNORECASE)


def _alternatives(texts: dict[str, Finding] | dict[str, str]) -> str:
    """Return a pattern of alternatives that prefers the longest text."""
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
