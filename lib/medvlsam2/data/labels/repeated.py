"""Warns of several values of a label map that have one structure's name: one of the names may be a slip."""

from __future__ import annotations

from collections.abc import Mapping

from medvlsam2.data import vocabulary


def meaning(name: str) -> str:
    """The structure that a name stands for: the vocabulary's key, else the name in small letters with single spaces.

    Example:
        >>> meaning("Hepar") == meaning("liver"), meaning("My  Lesion")
        (True, 'my lesion')
    """
    known = vocabulary.lookup(name)
    return known.key if known else " ".join(name.casefold().split())


def warnings(names: Mapping[int, str]) -> list[str]:
    """A sentence for each structure that is the name of several values.

    Args:
        names: of every value that occurs.

    Example:
        >>> warnings({1: "liver", 2: "spleen", 3: "Hepar"})
        ["The values 1 ('liver') and 3 ('Hepar') are named for one structure, ..."]
    """
    by_meaning: dict[str, list[int]] = {}
    for value, name in sorted(names.items()):
        by_meaning.setdefault(meaning(name), []).append(value)
    several = [values for values in by_meaning.values() if len(values) > 1]
    listed = [" and ".join(f"{value} ({names[value]!r})" for value in values) for values in several]
    return [
        f"The values {values} are named for one structure, and exports and trainings join them. If one of them is "
        "another structure, name it and submit the label again."
        for values in listed
    ]
