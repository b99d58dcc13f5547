"""Reads a question about a scan from the dictionary of a client."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from label_tasks.prompting import fields
from label_tasks.prompting.fields import Request, shown
from medvlsam2.errors import InvalidPrompt, InvalidRequest

QuestionKind = Literal["short", "long", "multiple_choice"]


@dataclass(frozen=True)
class Question:
    """A question about a scan."""

    text: str
    choices: tuple[str, ...]
    kind: QuestionKind | None
    previous: str | None
    """The query of the question before, in the query language; None where the client sends none."""


def question(request: Request) -> Question:
    """``question``, optional ``choices`` (a list, or one string separated by ``;`` or ``|``) ``kind`` and ``previous``.

    Raises:
        InvalidPrompt: if there is no question, or fewer than two choices.
        InvalidRequest: on an unknown kind.
    """
    text = fields.text(request, "question")
    if not text:
        raise InvalidPrompt(
            f"The option 'question' is {shown(request.get('question'))}: there is nothing to answer. "
            "Type one, e.g. 'Is the liver visible?'."
        )
    choices = _choices(request.get("choices"))
    if len(choices) == 1:
        raise InvalidPrompt(
            f"The option 'choices' holds only '{choices[0]}'. Give at least two, separated by ';', or none."
        )
    return Question(text, choices, _kind(request), fields.text(request, "previous") or None)


def _choices(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    items: Iterable[Any] = re.split(r"[;|\n]", value) if isinstance(value, str) else cast("Sequence[Any]", value)
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise InvalidRequest(
            f"The option 'choices' is {shown(value)}; give a list of strings, or one with ';' between."
        )
    return tuple(item.strip() for item in items if item.strip())


def _kind(request: Request) -> QuestionKind | None:
    kind = fields.choice(request, "kind")
    if kind in ("", "auto"):
        return None
    if kind not in get_args(QuestionKind):
        raise InvalidRequest(f"The option 'kind' is {shown(kind)}. Allowed: auto, {', '.join(get_args(QuestionKind))}.")
    return cast(QuestionKind, kind)
