"""The hand-written sets: their lines as types, and their reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeVar

from medvlsam2.strict_reading import read_strictly

QuestionKind = Literal[
    "presence",
    "volume",
    "length",
    "short_axis",
    "density",
    "count",
    "side",
    "level",
    "location",
    "slices",
    "description",
    "which",
    "more",
    "ratio",
    "difference",
    "distance",
    "state",
    "list",
    "scan",
    "decline",
    "picture",
    "injection",
    "foreign",
]
PhraseKind = Literal[
    "name",
    "side",
    "pick",
    "part",
    "level",
    "relation",
    "series",
    "union",
    "without",
    "absent",
    "refused",
]
PHANTOM: Final = "phantom "
"""A phantom is called by this word and its seed."""
_Line = TypeVar("_Line", "HandWrittenQuestion", "HandWrittenPhrase")


@dataclass(frozen=True, kw_only=True)
class HandWrittenQuestion:
    """One question as a person typed it."""

    id: str
    scan: str
    """Case of the validation split, or "phantom 500001"."""
    kind: QuestionKind
    question: str
    query: str
    """What is meant, as text of ``medvlsam2.data.query``."""
    also: tuple[str, ...] = ()
    """Queries that are as good."""
    before: str | None = None
    """The question that was asked before."""
    before_query: str | None = None
    """Its query."""
    choices: tuple[str, ...] = ()
    right: str | None = None
    """The right one of the choices, found without any program of this project."""
    hard: bool = False

    @property
    def queries(self) -> tuple[str, ...]:
        """All right queries, the first is the plainest."""
        return (self.query, *self.also)


@dataclass(frozen=True, kw_only=True)
class HandWrittenPhrase:
    """One phrase for an object as a person typed it."""

    id: str
    scan: str
    """Case of the validation split, or "phantom 500001"."""
    kind: PhraseKind
    phrase: str
    object: str | None
    """What is meant, as an object expression of ``medvlsam2.data.query``; None: it must be refused."""
    also: tuple[str, ...] = ()
    """Expressions that are as good."""
    hard: bool = False


@cache
def hand_written_questions() -> tuple[HandWrittenQuestion, ...]:
    """All questions, in the order of their file."""
    return _read("questions.jsonl", HandWrittenQuestion)


@cache
def hand_written_phrases() -> tuple[HandWrittenPhrase, ...]:
    """All phrases, in the order of their file."""
    return _read("phrases.jsonl", HandWrittenPhrase)


def phantom_seed(scan: str) -> int | None:
    """Seed of the phantom that a line asks about; None for a real scan.

    Example:
        >>> phantom_seed("phantom 500010"), phantom_seed("TS_dicom20")
        (500010, None)
    """
    return int(scan.removeprefix(PHANTOM)) if scan.startswith(PHANTOM) else None


def scans_asked_about() -> Mapping[str, None]:
    """Every scan that a line asks about, each once, in the order of the files."""
    scans = [line.scan for line in hand_written_questions()] + [line.scan for line in hand_written_phrases()]
    return dict.fromkeys(scans)


def _read(name: str, kind: type[_Line]) -> tuple[_Line, ...]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(read_strictly(kind, json.loads(line), f"'{name}'") for line in text.splitlines())
