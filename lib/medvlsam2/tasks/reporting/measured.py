"""Reads the numbers of a sentence: of what each is the number, and whether it is that of the largest."""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.tasks.reporting.names import Marked
from medvlsam2.tasks.reporting.statements import Measure, NotRead

_NUMBER: Final = re.compile(r"⟨n(\d+)⟩")
_QUANTITY_BEFORE: Final = re.compile(r"⟨q(\d+)⟩(?: of| is| measures)? $")
_QUANTITY_BEHIND: Final = re.compile(r"^ in ⟨q(\d+)⟩")
_LEAST: Final = "at least "
_LONG: Final = re.compile(r"^ long\b")
_MOST: Final = re.compile(r"(?:\bthe larger|\bthe largest)(?: measuring| of)? $|\bup to $")


def measures_in(marked: Marked, text: str) -> tuple[Measure, ...]:
    """Return the numbers of a part of a sentence in order.

    Args:
        marked: the sentence, which knows what the marks mean.
        text: the part, with marks.

    Raises:
        NotRead: if "at least" or the name of a quantity stands without a number, or something is called long without
            one.
    """
    found: list[Measure] = []
    quantities = 0
    for match in _NUMBER.finditer(text):
        before, behind = text[: match.start()], text[match.end() :]
        is_least = before.endswith(_LEAST)
        before = before.removesuffix(_LEAST)
        named = _QUANTITY_BEFORE.search(before) or _QUANTITY_BEHIND.match(behind)
        quantity = marked.names[int(named.group(1))].quantity if named else ""
        quantities += named is not None
        if _LONG.match(behind):
            quantity = "length"
        found.append(
            Measure(
                marked.numbers[int(match.group(1))],
                quantity,
                is_limit=before.endswith("(limit "),
                is_most=_MOST.search(before) is not None,
                is_least=is_least,
            )
        )
    if text.count(_LEAST) != sum(measure.is_least for measure in found):
        raise NotRead('It says "at least" without a number.')
    if quantities != text.count("⟨q") or len(re.findall(r"\blong\b", text)) > len(found):
        raise NotRead("It names a quantity without its number.")
    return tuple(found)
