"""What is said where a question cannot be answered by measuring: that, and what can be asked of the same things.

The model's own words stand in no such answer. What they state is either measured, and then a query tells it better, or
nothing that a reader could check (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import be, is_plural, join, plural, with_article
from medvlsam2.data.query.linking import linked_names, named_keys
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.questions.executing.rule_subjects import finding_rules, subjects

NOT_UNDERSTOOD: Final = "This question was not understood as something that can be measured."
NOTHING_STATED: Final = "Nothing was measured for this question, so the answer states nothing of the scan."
"""The warning beside an answer that only says what can be asked."""
GUESSED: Final = "This answer is the model's guess from the image. It was not measured, and nothing proves it."
"""The warning beside an answer in the model's own words, and beside its own choice."""
SUGGESTED: Final = 3
"""Questions that are named; more would not be read."""
_OF_SCAN: Final = (
    "Which findings are seen?",
    "Which organs are visible?",
    "Which part of the body does the scan show?",
)


def unanswered(question: str, reason: str = "") -> str:
    """Return the answer to a question that no query fits.

    Args:
        question: as it was asked.
        reason: one sentence: why it is not answered; "" where it was not understood.

    Example:
        >>> unanswered("What colour is the spleen?")
        'This question was not understood as something that can be measured. You can ask: "How large is the spleen?", \
"Is the spleen normal?" or "What is the mean density of the spleen?".'
    """
    asked = join([f'"{each}"' for each in suggestions(question)], "or")
    return f"{f'Not answered: {reason}' if reason else NOT_UNDERSTOOD} You can ask: {asked}."


def suggestions(question: str) -> tuple[str, ...]:
    """Return questions that can be asked, made from the names in a question; of the scan where it names nothing.

    Args:
        question: as it was asked, also with lay words and typing errors.
    """
    keys = named_keys(question) or linked_names(question)[:1]
    if not keys:
        return _OF_SCAN
    of_keys = [list(_of_key(key)) for key in keys[:SUGGESTED]]
    made = [each for same_place in zip(*of_keys, strict=False) for each in same_place]
    if len(keys) == 2 and not any(vocabulary.STRUCTURES[key].is_finding for key in keys):
        made.insert(2, f"What is the distance from {anatomy.the(keys[0])} to {anatomy.the(keys[1])}?")
    return tuple(dict.fromkeys(made))[:SUGGESTED]


def _of_key(key: str) -> Iterator[str]:
    known = vocabulary.STRUCTURES[key]
    if known.is_finding:
        countable = is_countable(key)
        many = is_plural(known.name)
        yield f"{'Are' if many else 'Is'} there {with_article(known.name) if countable and not many else known.name}?"
        yield f"How large {be(known.name)} the {known.name}?"
        yield f"How many {plural(known.name)} are there?" if countable else f"Where {be(known.name)} the {known.name}?"
        return
    the = anatomy.the(key)
    yield f"How large {be(the)} {the}?"
    if any(anatomy.leaves(key) & subjects(rule) for rule in finding_rules()):
        yield f"{_start(the)} {the} normal?"
    else:
        yield f"{_start(the)} {the} visible?"
    yield f"What is the mean density of {the}?"


def _start(the: str) -> str:
    return "Are" if is_plural(the) else "Is"
