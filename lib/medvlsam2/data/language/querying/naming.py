"""Words for one structure or finding: its names as a radiologist, a clinician or a patient writes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import is_plural, pick, plural, with_article
from medvlsam2.data.language.querying.patterns import Split, is_held_out
from medvlsam2.data.query.words.lay_words import lay_names
from medvlsam2.data.structures.table import ORDINALS, Structure

_CANONICAL_SHARE = 0.45
"""Share of the standard name among the words for a structure; the others share the rest equally."""
_UNCOUNTABLE = frozenset(
    {
        *("ascites", "cardiomegaly", "splenomegaly", "coronary_calcification", "consolidation", "hydronephrosis"),
        *("consolidation_left", "consolidation_right", "hydronephrosis_left", "hydronephrosis_right"),
    }
)
_ONLY_NAME = frozenset({"cardiomegaly", "splenomegaly"})
"""Findings whose synonyms ("enlarged spleen") ask for the state of the structure instead."""
_WITHOUT_ARTICLE = ("omegaly", "ascites", "hydrothorax", "hydro", "fluid", "water", "calcium", "chalk", "silhouette")
_REGIONS = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}
_SUFFIXES = ("th", "st", "nd", "rd")


@dataclass(frozen=True)
class Spoken:
    """A noun phrase without its article."""

    one: str
    """Singular of what can be counted, else the only form: "cyst in the liver", "kidneys"."""
    many: str
    """Plural: "cysts in the liver"; the same as ``one`` if there is none."""
    takes_are: bool = False
    """Whether a verb after ``one`` is plural."""
    bare: bool = False
    """Whether ``one`` takes no article: "T12", "rib 7"."""
    counted: bool = False
    """Whether ``one`` takes "a"."""

    @property
    def the(self) -> str:
        """With the definite article."""
        return self.one if self.bare else f"the {self.one}"

    @property
    def a(self) -> str:
        """With the indefinite article, if it takes one."""
        return with_article(self.one) if self.counted else self.one

    @property
    def be(self) -> str:
        """The verb after ``one``: is or are."""
        return "are" if self.takes_are else "is"

    def with_words(self, before: str, after: str) -> Spoken:
        """Return the phrase with words around it."""
        one, many = (f"{before} {noun} {after}".strip() for noun in (self.one, self.many))
        return Spoken(one, many, self.takes_are, self.bare and not before, self.counted)


def noun(key: str, rng: np.random.Generator, split: Split) -> Spoken:
    """Return random words for a structure or finding; numbered ones and those with a side in any of their notations."""
    if key.startswith("vertebrae_"):
        return _vertebra(key.removeprefix("vertebrae_"), rng)
    if key.startswith("rib_") and key[-1].isdigit():
        return _rib(key, rng)
    text = _word(key, rng, split)
    structure = vocabulary.STRUCTURES[key]
    if structure.is_finding:
        lone = key in _UNCOUNTABLE or text.endswith(_WITHOUT_ARTICLE)
        many = text if lone or is_plural(text) else _plural(text)
        return Spoken(text, many, counted=not lone)
    single = structure.side is not None and not structure.key.startswith("ribs_")
    return Spoken(
        text, text, takes_are=not single and is_plural(text), bare=text.startswith("both "), counted=not is_plural(text)
    )


def single(key: str, rng: np.random.Generator, split: Split) -> str:
    """Return a word for one member of a pair or series: "kidney" for the kidneys, "rib" for the ribs.

    Raises:
        KeyError: if the structure has no members.
    """
    if key in _SERIES:
        return pick(rng, _SERIES[key])
    part = vocabulary.STRUCTURES[key].parts[0]
    return " ".join(word for word in _plain_word(part, rng, split).split() if word not in ("left", "right"))


def members(key: str, rng: np.random.Generator) -> str:
    """Return a word for several members of a series: "vertebrae", "left ribs"."""
    return pick(rng, _MEMBERS.get(key, (vocabulary.STRUCTURES[key].name,)))


def has_members(key: str) -> bool:
    """Return whether a structure is a pair or a series, of which one can be picked."""
    return key in _SERIES or (anatomy.is_pair(key) and not vocabulary.STRUCTURES[key].is_finding)


_SERIES = {
    "vertebrae": ("vertebra", "vertebral body", "vertebra"),
    "thoracic_spine": ("thoracic vertebra",),
    "lumbar_spine": ("lumbar vertebra",),
    "cervical_spine": ("cervical vertebra",),
    "ribs": ("rib",),
    "ribs_left": ("left rib", "left-sided rib"),
    "ribs_right": ("right rib", "right-sided rib"),
    "lungs": ("lung",),
}
_MEMBERS = {"vertebrae": ("vertebrae", "vertebral bodies", "vertebrae", "vertebras")}


def _word(key: str, rng: np.random.Generator, split: Split) -> str:
    structure, text = vocabulary.STRUCTURES[key], _plain_word(key, rng, split)
    return text if structure.side is None or structure.side not in text.split() else _sided(text, structure, rng)


def _plain_word(key: str, rng: np.random.Generator, split: Split) -> str:
    others = _others(key, split)
    if not others or rng.random() < _CANONICAL_SHARE:
        return vocabulary.STRUCTURES[key].name
    return pick(rng, others)


@cache
def _others(key: str, split: Split) -> tuple[str, ...]:
    structure = vocabulary.STRUCTURES[key]
    if key in _ONLY_NAME:
        return ()
    texts = [*structure.synonyms, *lay_names(key), *_adjectival(structure)]
    texts = [text.replace("_", " ") for text in dict.fromkeys(texts)]
    held = [text for text in texts if is_held_out(key, text)]
    if split == "held out":
        return tuple(held or texts)
    return tuple(text for text in texts if text not in held)


def _adjectival(structure: Structure) -> list[str]:
    """Return "hepatic cyst" for "liver cyst"; nothing for structures."""
    if not structure.is_finding or structure.site is None:
        return []
    site, adjective = structure.site, anatomy.adjective(structure.site)
    organ = anatomy.base(site).replace("_", " ")
    if adjective is None or organ not in structure.name:
        return []
    own = adjective.removeprefix("left ").removeprefix("right ")
    return [structure.name.replace(organ, own)]


def _sided(text: str, structure: Structure, rng: np.random.Generator) -> str:
    """The side in one of its notations: "left kidney", "lt kidney", "kidney on the left", "kidney left"."""
    side = structure.side
    rest = " ".join(word for word in text.split() if word != side)
    forms = [f"{side} {rest}"] * 12
    forms += [f"{side}-sided {rest}", f"{side} sided {rest}", f"{rest} on the {side}", f"{rest} on the {side} side"]
    forms += [f"{str(side)[0].upper()} {rest}", f"{'lt' if side == 'left' else 'rt'} {rest}", f"{rest} {side}"]
    forms += [f"{'lt' if side == 'left' else 'rt'}. {rest}", f"{side} {rest}", f"{rest}, {side}", f"{rest} ({side})"]
    return pick(rng, forms)


def _vertebra(level: str, rng: np.random.Generator) -> Spoken:
    letter, number = level[0], int(level[1:])
    ordinal, region = ORDINALS[number - 1], _REGIONS[letter]
    bare = [level] * 6 + [f"vertebra {level}", f"vertebral body {level}"]
    bare += {"T": [f"Th{number}", f"Th {number}", f"D{number}", f"T-{number}"]}.get(letter, [f"{letter}-{number}"])
    named = [f"{level} vertebra", f"{level} vertebra", f"{level} vertebral body"]
    named += [f"{ordinal} {region} vertebra", f"{_ordinal(number)} {region} vertebra", f"{region} vertebra {number}"]
    text = pick(rng, bare + named)
    return Spoken(text, text, bare=text in bare)


def _rib(key: str, rng: np.random.Generator) -> Spoken:
    _, side, number = key.split("_")
    ordinals = (ORDINALS[int(number) - 1], _ordinal(int(number)), _ordinal(int(number)))
    nth = pick(rng, ordinals)
    bare = [f"{side} rib {number}", f"rib {number} left" if side == "left" else f"rib {number} right"]
    bare += [f"{side} rib {number}", f"rib {number} on the {side}"]
    named = [f"{nth} {side} rib", f"{side} {nth} rib", f"{nth} rib on the {side}", f"{nth} rib on the {side} side"]
    text = pick(rng, bare + named)
    return Spoken(text, text, bare=text in bare)


def _ordinal(number: int) -> str:
    return f"{number}{_SUFFIXES[number] if number <= 3 else 'th'}"


def _plural(text: str) -> str:
    """The plural of a finding, whose noun may be followed by its place: "spots on the lung"."""
    for preposition in (" on ", " in ", " of ", " around ", ", ", " ("):
        head, found, rest = text.partition(preposition)
        if found:
            return f"{plural(head)}{preposition}{rest}"
    last = text.rpartition(" ")[2]
    return text if last in ("left", "right", "fx") else plural(text)
