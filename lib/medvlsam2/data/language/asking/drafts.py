"""A question with its answer in every style, and the random choice of one style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medvlsam2.data.language.chat import AnswerKind, choice_answer
from medvlsam2.data.language.grammar import pick, shuffled

NUM_WRONG = 3
"""Number of wrong choices of a multiple-choice question."""


@dataclass(frozen=True)
class QuestionAnswer:
    """One question with its answer."""

    question: str
    """The question, without choices and style."""
    answer: str
    """The answer: a few words, a sentence, or a letter with its choice ("B. right kidney")."""
    kind: AnswerKind
    """Style of the answer."""
    choices: tuple[str, ...]
    """Choices of a multiple-choice question, without letters."""
    topic: str
    """Topic of the question: "presence", "size" …, for scores per topic."""


@dataclass(frozen=True)
class Draft:
    """A question with its answer in every style, before one style is chosen."""

    topic: str
    """Topic of the question."""
    question: str
    """The question."""
    short: str
    """The answer in a few words."""
    long: str
    """The answer in a sentence."""
    wrong: tuple[str, ...] = ()
    """Wrong choices; empty if the question allows no multiple choice."""
    question_of_choices: str = ""
    """The question in front of a list of choices; empty if it is the same as ``question``."""


def finish(draft: Draft, rng: np.random.Generator) -> QuestionAnswer:
    """Return the question with its answer in a random style."""
    kinds: tuple[AnswerKind, ...] = ("short", "long", "multiple_choice") if draft.wrong else ("short", "long")
    kind = pick(rng, kinds)
    if kind == "multiple_choice":
        choices = tuple(shuffled(rng, [draft.short, *shuffled(rng, draft.wrong)[:NUM_WRONG]]))
        answer = choice_answer(choices, choices.index(draft.short))
        return QuestionAnswer(draft.question_of_choices or draft.question, answer, kind, choices, draft.topic)
    return QuestionAnswer(draft.question, draft.short if kind == "short" else draft.long, kind, (), draft.topic)


def yes_no(truth: bool) -> str:
    """Return the short answer to a yes-no question."""
    return "Yes" if truth else "No"
