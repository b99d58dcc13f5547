"""From a query to an answer: execute it, word the result, and take the choice that agrees with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.language.chat import AnswerKind
from medvlsam2.data.query.linking import named_keys
from medvlsam2.data.query.objects import Item, ObjectExpression
from medvlsam2.data.query.queries import AskList, AskObject, Decline, Query
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.executing.visibility import visibility
from medvlsam2.tasks.questions.reading.checks import DECLINED
from medvlsam2.tasks.questions.replying.choices import Choice, asks_for_seen, chosen, keys_of
from medvlsam2.tasks.questions.replying.polar import yes_no
from medvlsam2.tasks.questions.replying.sentences import full_sentence, short_answer
from medvlsam2.tasks.questions.replying.unanswered import GUESSED


@dataclass(frozen=True)
class Told:
    """An answer in words, with what it was computed from."""

    text: str
    query: Query
    outcome: Outcome | None = None
    """None: nothing was computed, e.g. for a question that is declined."""
    choice_index: int | None = None
    grounded: bool = True
    """Whether text and choice follow from the outcome."""
    notes: tuple[str, ...] = ()
    """Sentences for the annotator."""


def told(
    question: str,
    query: Query,
    scene: Scene,
    *,
    choices: Sequence[str] = (),
    kind: AnswerKind | None = None,
    guess: Callable[[], int],
) -> Told:
    """Return the answer to a question that was read as a query.

    Args:
        question: as it was asked.
        query: any but ``AskPicture`` and ``Decline``.
        scene: of the scan.
        choices: to choose from; none for an open question.
        kind: style of the answer: a few words for "short", else a sentence.
        guess: the model's own choice, for where the result tells none.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    if choices:
        return _choice(question, query, scene, choices, guess)
    outcome = _seen_of_named(question, query, scene) or execute(query, scene)
    asked = yes_no(question, outcome)
    text = short_answer(outcome, asked) if kind == "short" else full_sentence(outcome, asked)
    return Told(text, query, outcome)


def decline(query: Decline, choices: Sequence[str] = ()) -> Told:
    """Return the answer to a question that is declined, also where choices are given."""
    del choices
    return Told(DECLINED[query.why], query)


def _seen_of_named(question: str, query: Query, scene: Scene) -> Outcome | None:
    """Of structures that an open question names ("the liver, the brain or the tongue?"), those that it asks for."""
    seen = asks_for_seen(question, query)
    keys = named_keys(question) if seen is not None and isinstance(query, AskList) and query.place is None else ()
    if seen is None or len(keys) < 2:
        return None
    outcomes = _presences(keys, scene)
    fitting = [outcome for outcome in outcomes if outcome.value is seen]
    return Outcome(
        query=query,
        value=tuple(vocabulary.STRUCTURES[key].name for key, one in zip(keys, outcomes, strict=True) if one in fitting),
        details=(("seen", float(seen)),),
        evidence=tuple(fact for outcome in fitting for fact in outcome.evidence),
    )


def _presences(keys: Sequence[str], scene: Scene) -> list[Outcome]:
    scene.facts.look_for(keys)
    return [execute(AskObject("presence", ObjectExpression((Item(key),))), scene) for key in keys]


def _choice(question: str, query: Query, scene: Scene, choices: Sequence[str], guess: Callable[[], int]) -> Told:
    seen = asks_for_seen(question, query)
    keys = keys_of(choices) if seen is not None and isinstance(query, AskList) and query.place is None else None
    if keys is not None and seen is not None:
        return _of_seen(query, scene, choices, keys, guess, wants_seen=seen)
    outcome = execute(query, scene)
    asked = yes_no(question, outcome)
    found = chosen(choices, outcome, asked.says)
    sentence = full_sentence(outcome, asked)
    if found is None:
        note = f"None of the choices tells what was computed ({sentence.rstrip('.')}); the model chose."
        return _taken(query, outcome, choices, Choice(guess(), agrees=False), note, GUESSED)
    note = (
        ""
        if found.agrees
        else f"No choice agrees with what was computed ({sentence.rstrip('.')}); this is the nearest."
    )
    return _taken(query, outcome, choices, found, note)


def _of_seen(
    query: Query,
    scene: Scene,
    choices: Sequence[str],
    keys: Sequence[str],
    guess: Callable[[], int],
    *,
    wants_seen: bool,
) -> Told:
    """Which of some structures is, or is not, seen: each choice is looked for."""
    outcomes = _presences(keys, scene)
    fitting = [number for number, outcome in enumerate(outcomes) if outcome.value is wants_seen]
    likely = [
        visibility(key, outcome, scene) * (1 if wants_seen else -1) for key, outcome in zip(keys, outcomes, strict=True)
    ]
    best = max(range(len(keys)), key=likely.__getitem__)
    evidence = tuple(fact for outcome in outcomes for fact in outcome.evidence)
    names = tuple(choices[number] for number in fitting)
    outcome = replace(outcomes[best], query=query, value=names, evidence=evidence)
    if len(fitting) == 1:
        return _taken(query, outcome, choices, Choice(fitting[0], agrees=True), "")
    seen = "is seen" if wants_seen else "is not seen"
    if fitting:
        note = f"More than one of the choices {seen} according to the masks; the likeliest was taken."
        return _taken(query, outcome, choices, Choice(best, agrees=False), note)
    note = f"None of the choices {seen} for sure according to the masks"
    if likely.count(likely[best]) == 1:
        return _taken(query, outcome, choices, Choice(best, agrees=False), f"{note}; the likeliest was taken.")
    return _taken(query, outcome, choices, Choice(guess(), agrees=False), f"{note}; the model chose.", GUESSED)


def _taken(query: Query, outcome: Outcome, choices: Sequence[str], choice: Choice, *notes: str) -> Told:
    text = chat.choice_answer(choices, choice.index)
    return Told(text, query, outcome, choice.index, choice.agrees, tuple(filter(None, notes)))
