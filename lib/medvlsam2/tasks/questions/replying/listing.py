"""Lists of findings and of structures in words: those that belong together are told together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import count_word, plural, with_article
from medvlsam2.data.language.grounded.slots import BY_VOLUME
from medvlsam2.data.language.grounded.stated import stated
from medvlsam2.data.quantities import told
from medvlsam2.tasks.measure.lesions import is_countable

MOST_LISTED: Final = 40
"""Names that one answer lists; a scan of the trunk shows about 100 structures."""


def grouped(facts: Sequence[Fact]) -> list[str]:
    """Return findings in words, those of one name together: "splenomegaly (147 mm)", "two left kidney cysts"."""
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        groups.setdefault(named(fact), []).append(fact)
    return [_group(name, group) for name, group in groups.items()]


def with_an_article(finding: str, fact: Fact) -> str:
    """Return the words for one finding with its article, if it takes one: "a liver cyst", "ascites"."""
    return with_article(finding) if takes_article(fact) and not finding.startswith(_COUNTS) else finding


def takes_article(fact: Fact) -> bool:
    """Return whether the name of a finding takes an article: "a cyst" and "an aneurysm", but "splenomegaly"."""
    what = stated(fact)
    return what.is_known and what.kind not in lesions.UNCOUNTABLE


_COUNTS: Final = tuple(f"{count_word(number)} " for number in range(2, 11))


def named(fact: Fact) -> str:
    """Return the name of a finding with its side.

    Example:
        >>> named(Fact(id="a", key="kidney_cyst", kind="finding", name="kidney cyst", state="present", side="left"))
        'left kidney cyst'
    """
    return f"{fact.side} {fact.name}" if fact.side is not None and fact.side not in fact.name else fact.name


def size_of(fact: Fact) -> str:
    """Return the size of a finding that its mask or its rule measured: of fluid and air the volume; "" without one."""
    if fact.kind == "rule" and fact.value is not None:
        return told(fact.value, fact.unit)
    if fact.kind != "finding":
        return ""
    if stated(fact).kind in BY_VOLUME:
        return told(fact.volume_ml, "mL") if fact.volume_ml else ""
    return told(fact.longest_mm, "mm") if fact.longest_mm else ""


def _group(name: str, group: Sequence[Fact]) -> str:
    first = group[0]
    largest = max(group, key=lambda fact: (fact.longest_mm or 0.0, fact.volume_ml or 0.0))
    size = size_of(largest)
    if len(group) == 1 or first.kind == "rule" or not is_countable(first.key):
        return f"{name} ({size})" if size else name
    return f"{count_word(len(group))} {plural(name)}{f' (the largest {size})' if size else ''}"


def structures_in_words(keys: Sequence[str]) -> list[str]:
    """Return the names of structures; vertebrae and ribs that follow each other are told from the first to the last.

    Example:
        >>> structures_in_words(["liver", "vertebrae_T12", "vertebrae_L1", "vertebrae_L2", "rib_left_7"])
        ['liver', 'vertebrae T12 to L2', 'left rib 7']
        >>> structures_in_words(["rib_left_7", "rib_left_8", "rib_left_9"])
        ['left ribs 7 to 9']
    """
    shown = [_run_in_words(run) for run in _runs(keys)]
    if len(shown) <= MOST_LISTED:
        return shown
    return [*shown[:MOST_LISTED], f"{len(shown) - MOST_LISTED} more"]


def _runs(keys: Sequence[str]) -> Iterator[list[str]]:
    """Yield the keys; those of neighbours in a series together, from head to foot."""
    left = list(dict.fromkeys(keys))
    while left:
        run = [left.pop(0)]
        while (after := anatomy.next_below(run[-1])) is not None and after in left:
            left.remove(after)
            run.append(after)
        while (before := anatomy.next_above(run[0])) is not None and before in left:
            left.remove(before)
            run.insert(0, before)
        yield run


def _run_in_words(run: Sequence[str]) -> str:
    first, last = (vocabulary.STRUCTURES[key].name for key in (run[0], run[-1]))
    if len(run) == 1:
        return first
    if first.startswith(("left rib ", "right rib ")):
        return f"{first.replace(' rib ', ' ribs ')} to {last.rpartition(' ')[2]}"
    return f"vertebrae {first.removesuffix(' vertebra')} to {last.removesuffix(' vertebra')}"
