"""Texts of slots: what code writes into a sentence about a fact or a group of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.facts import Lesion
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import capital, count_word, is_plural, join, plural, with_article
from medvlsam2.data.language.grounded.rule_words import rule_words
from medvlsam2.data.language.grounded.stated import Stated, nouns, stated
from medvlsam2.data.language.reporting.report_parts import heading
from medvlsam2.data.quantities import told, told_apart, told_exactly, told_pair

Slots = dict[str, str]

BY_VOLUME: Final = frozenset({"effusion", "ascites", "pneumothorax", "consolidation", "hemorrhage", "hematoma"})
"""Kinds whose volume is told, because a diameter says little about fluid and air."""
GRADES: Final = ("mild", "moderate", "severe")
"""Labels of rules that stand before a noun."""
SIZES_TOLD: Final = 5
"""Most sizes that one sentence lists."""


def of_finding(group: Sequence[Fact]) -> tuple[str, list[Slots], str]:
    """Return the kind of the patterns, the slots for each noun, and the words for the prompt.

    Args:
        group: findings of one kind in one structure that are present, the largest first.
    """
    first, what = group[0], stated(group[0])
    spoken = _graded(first, nouns(first))
    if len(group) > 1 and what.kind not in lesions.UNCOUNTABLE:
        return _several(group, what, spoken)
    texts = _placed(what) | _numbers(first, what)
    pattern = _pattern(what, texts)
    variants = [texts | _named(first, what, noun, texts) for noun in spoken]
    told = [texts[name] for name in ("long", "value", "volume", "size") if name in texts]
    return pattern, variants, " ".join([spoken[0], *told[:1]])


def _graded(fact: Fact, spoken: Sequence[str]) -> list[str]:
    """Return the nouns with a rule's grade before them, where the rule grades."""
    return [f"{fact.label} {noun}" for noun in spoken] if fact.label in GRADES else list(spoken)


def _pattern(what: Stated, texts: Slots) -> str:
    if what.kind == "enlargement":
        return "enlarged" if {"value", "long", "volume"} & texts.keys() else "enlarged without number"
    if "value" in texts:
        return "rule passed"
    if "volume" in texts:
        return "one finding with volume"
    return "one finding with size" if "size" in texts else "one finding"


def _numbers(fact: Fact, what: Stated) -> Slots:
    """Return the numbers that texts about a finding may tell, each with its unit."""
    known = fact.to_json()
    texts: Slots = {}
    if "value" in known:
        least = "at least " if fact.is_at_least else ""
        texts |= {"value": least + told(known["value"], fact.unit), "quantity": rule_words(fact).quantity}
        if texts["quantity"] == "length":
            texts["long"] = texts["value"]
        if "threshold" in known:
            both = told_apart([known["value"], known["threshold"]], fact.unit)
            texts |= {"exact_value": least + both[0], "limit": told_exactly(known["threshold"], fact.unit)}
        return texts
    if what.kind in BY_VOLUME and "volume_ml" in known:
        return {"volume": told(known["volume_ml"], "mL")}
    if what.kind in lesions.UNSIZED or "longest_mm" not in known:
        return texts
    texts["size"] = told(known["longest_mm"], "mm")
    if "short_axis_mm" in known:
        texts["axes"] = told_pair(known["longest_mm"], known["short_axis_mm"], "mm")
    if "mean_hu" in known and known.get("hu_inside"):
        texts["hu"] = told(known["mean_hu"], "HU")
    return texts


def _named(fact: Fact, what: Stated, noun: str, texts: Slots) -> Slots:
    """Return the slots that hold the finding's noun."""
    lesion = what.as_lesion() if what.is_known else None
    takes_article = what.kind not in lesions.UNCOUNTABLE and (fact.kind == "finding" or what.is_known)
    one = with_article(noun) if takes_article else noun
    named = {"noun": noun, "one": one}
    if "size" not in texts:
        return named
    if lesion is not None and lesions.is_pleural(lesion):
        return named | {"a": f"{one} measuring up to {texts['size']}"}
    named["a"] = with_article(f"{texts['size']} {noun}")
    if lesion is not None and _may_come_after_its_place(lesion):
        named["a_bare"] = with_article(f"{texts['size']} {lesions.bare(lesion)}")
        named["place_first"] = lesions.place(lesion)
    return named


def _may_come_after_its_place(lesion: Lesion) -> bool:
    """Return whether a sentence may begin with the place: "The liver contains a 12 mm cyst"."""
    return lesion.kind not in lesions.OF_KINDS and lesions.is_placed(lesion) and not lesions.tells_place(lesion)


def _placed(what: Stated) -> Slots:
    """Return the slots that name the structure of a finding."""
    if what.structure is None or what.structure not in vocabulary.STRUCTURES:
        return {"heading": "Other findings"}
    return {"heading": heading(what.structure), **_verbs([anatomy.name(what.structure)], anatomy.the(what.structure))}


def _several(group: Sequence[Fact], what: Stated, spoken: Sequence[str]) -> tuple[str, list[Slots], str]:
    texts = _placed(what)
    sizes = [known["longest_mm"] for fact in group if "longest_mm" in (known := fact.to_json())]
    pattern = "several findings"
    if len(sizes) == len(group) and what.kind not in lesions.UNSIZED:
        shown = [told(size_mm, "mm") for size_mm in sizes]
        texts |= {"size": shown[0], "most": "the larger" if len(group) == 2 else "the largest"}
        pattern = "several findings with size"
        if len(shown) <= SIZES_TOLD:
            texts["sizes"] = join(shown)
    variants = []
    for noun in spoken:
        many = lesions.plural_noun(what.as_lesion(), noun) if what.is_known else plural(noun)
        variants.append(texts | {"counted": f"{count_word(len(group))} {many}", "plural": many, "noun": many})
    line = " ".join([str(len(group)), variants[0]["plural"], *([texts["size"]] if "size" in texts else [])])
    return pattern, variants, line


def of_normal(facts: Sequence[Fact], respect: str) -> Slots:
    """Return the slots for structures that rules found within normal limits in one respect."""
    keys = [key for fact in facts if (key := stated(fact).structure) is not None]
    texts = {"respect": respect, **_of_keys(keys)}
    (*others, only) = facts
    if not others and "value" in (known := only.to_json()):
        texts |= {"value": told(known["value"], only.unit), "quantity": rule_words(only).quantity}
    return texts


def of_structures(facts: Sequence[Fact]) -> Slots:
    """Return the slots for structures of one state."""
    texts = _of_keys([fact.key for fact in facts])
    volumes = []
    for fact in facts:
        volume_ml = fact.to_json().get("volume_ml")
        volumes.append(told(volume_ml, "mL") if volume_ml is not None and not fact.cut else "")
    both = list(zip(facts, volumes, strict=True))
    if any(volumes):
        named = [f"{anatomy.name(fact.key)} ({volume})" if volume else anatomy.name(fact.key) for fact, volume in both]
        texts |= {"with_volumes": _with_one_article(facts[0].key, named), "names_with_volumes": join(named)}
    else:
        texts |= {"with_volumes": texts["the"], "names_with_volumes": texts["names"]}
    texts["brief"] = ", ".join(f"{fact.name} {volume}".rstrip() for fact, volume in both)
    if len(facts) == 1 and volumes[0]:
        texts["volume"] = volumes[0]
    return texts


def denied_name(fact: Fact, absent: Mapping[str, Fact]) -> str:
    """Return the name under which an absent finding is denied: without its side only if both sides are absent.

    Args:
        fact: of an absent finding.
        absent: all absent findings, by key.
    """
    other = vocabulary.mirror(fact.key)
    if words := rule_words(fact).noun:
        return words
    return unsided(fact) if fact.side is None or (other != fact.key and other in absent) else fact.name


def unsided(fact: Fact) -> str:
    """Return the name of a finding without its side.

    Example:
        >>> unsided(
        ...     Fact(
        ...         id="a", key="kidney_cyst_left", kind="finding", name="left kidney cyst", state="absent", side="left"
        ...     )
        ... )
        'kidney cyst'
    """
    return fact.name if fact.side is None else fact.name.replace(f"{fact.side} ", "", 1)


def plain_names(facts: Sequence[Fact]) -> list[str]:
    """Return the names of facts, each once; the two sides of a pair have one name."""
    keys = {fact.key for fact in facts}
    named: dict[str, None] = {}
    for fact in facts:
        pair = anatomy.pair(fact.key)
        if pair is not None and vocabulary.mirror(fact.key) in keys:
            named[anatomy.name(pair)] = None
        else:
            both = fact.side is not None and vocabulary.mirror(fact.key) in keys - {fact.key}
            named[unsided(fact) if both else fact.name] = None
    return list(named)


def _of_keys(keys: Sequence[str]) -> Slots:
    """Return the names of structures in one sentence; a pair of which both sides are listed has one name."""
    shown: dict[str, None] = {}
    for key in keys:
        pair = anatomy.pair(key)
        shown[pair if pair is not None and vocabulary.mirror(key) in keys else key] = None
    names = [anatomy.name(key) for key in shown]
    return {"heading": capital(names[0]), **_verbs(names, _with_one_article(next(iter(shown)), names))}


def _with_one_article(first_key: str, names: Sequence[str]) -> str:
    """Return names in a list with the article before the first alone: "the liver and spleen"."""
    article = anatomy.the(first_key).removesuffix(anatomy.name(first_key))
    return f"{article}{join(names)}"


def _verbs(names: Sequence[str], the: str) -> Slots:
    many = len(names) > 1 or is_plural(names[0])
    return {
        "the": the,
        "names": join(names),
        "is_": "are" if many else "is",
        "was": "were" if many else "was",
        "has": "have" if many else "has",
        "shows": "show" if many else "shows",
        "contains": "contain" if many else "contains",
        "appears": "appear" if many else "appears",
    }
