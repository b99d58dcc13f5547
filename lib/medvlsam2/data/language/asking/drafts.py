"""A question with its answer in every style, and the choice of one style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medvlsam2.data.language.chat import AnswerKind, choice_answer
from medvlsam2.data.language.grammar import pick, shuffled

NUM_WRONG = 3
"""Wrong choices of a multiple-choice question."""


@dataclass(frozen=True)
class QuestionAnswer:
    """One question with its answer."""

    question: str
    """What is asked, without choices and style."""
    answer: str
    """A few words, a sentence, or letter and choice ("B. right kidney")."""
    kind: AnswerKind
    """Style of the answer."""
    choices: tuple[str, ...]
    """Choices of a multiple-choice question, without letters."""
    topic: str
    """What it is about: "presence", "size" …, for scores per topic."""


@dataclass(frozen=True)
class Draft:
    """A question with its answer in every style, before one is chosen."""

    topic: str
    """What it is about."""
    question: str
    """What is asked."""
    short: str
    """The answer in a few words."""
    long: str
    """The answer in a sentence."""
    wrong: tuple[str, ...] = ()
    """Wrong choices; empty where choices make no sense."""
    question_of_choices: str = ""
    """What is asked where the choices are listed after it; empty where that is the same question."""


def finish(draft: Draft, rng: np.random.Generator) -> QuestionAnswer:
    """Choose a style of answer at random."""
    kinds: tuple[AnswerKind, ...] = ("short", "long", "multiple_choice") if draft.wrong else ("short", "long")
    kind = pick(rng, kinds)
    if kind == "multiple_choice":
        choices = tuple(shuffled(rng, [draft.short, *shuffled(rng, draft.wrong)[:NUM_WRONG]]))
        answer = choice_answer(choices, choices.index(draft.short))
        return QuestionAnswer(draft.question_of_choices or draft.question, answer, kind, choices, draft.topic)
    return QuestionAnswer(draft.question, draft.short if kind == "short" else draft.long, kind, (), draft.topic)


def yes_no(truth: bool) -> str:
    """The short answer to a yes-no question."""
    return "Yes" if truth else "No"
