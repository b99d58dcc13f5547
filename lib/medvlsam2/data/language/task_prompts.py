r"""Prompts of the text tasks: a question becomes a query, a phrase an object expression, facts become sentences.

Training and serving both ask here, so that the model reads at work what it read while it learned. A prompt is one short
ChatML turn without an image and without a system message; :data:`PREFIX` is the same for all of them, so its key-value
cache is computed once for all scans. The answer ends with ``chat.TURN_END``. This module handles strings only.

Example:
    >>> print(query_prompt("How big is the wind pipe?", ["trachea"]).removeprefix(PREFIX))
    Query: How big is the wind pipe?
    Names: trachea<|im_end|>
    <|im_start|>assistant
    <BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from medvlsam2.data.language import chat

PREFIX: Final = f"{chat.TURN_START}user\n"
"""The beginning that all prompts of text tasks share."""


def query_prompt(question: str, names: Sequence[str] = (), before: str | None = None) -> str:
    """A question, to be answered with a query of ``medvlsam2.data.query``.

    Args:
        question: as it was asked.
        names: standard names that words of the question can mean.
        before: the query of the question before, which this one may refer to.

    Raises:
        InvalidPrompt: if a text is empty or holds one of the special tokens.
    """
    return _prompt("Query", question, {"Names": _listed(names), "Before": before})


def object_prompt(phrase: str, names: Sequence[str] = ()) -> str:
    """A phrase, to be answered with an object expression of ``medvlsam2.data.query``.

    Args:
        phrase: as it was asked.
        names: standard names that words of the phrase can mean.

    Raises:
        InvalidPrompt: if a text is empty or holds one of the special tokens.
    """
    return _prompt("Object", phrase, {"Names": _listed(names)})


def report_prompt(style: chat.ReportStyle, facts: Sequence[str]) -> str:
    """Facts, to be answered with the sentences of a report, one on each line.

    Args:
        style: narrative, structured or terse.
        facts: each fact in a few words.

    Raises:
        InvalidPrompt: if a text is empty or holds one of the special tokens.
    """
    return _prompt("Report", style, {"Facts": _listed(facts)})


def _prompt(task: str, text: str, lines: dict[str, str | None]) -> str:
    told = [f"{task}: {_one_line(text)}", *(f"{name}: {_one_line(line)}" for name, line in lines.items() if line)]
    return PREFIX + chat.turn("\n".join(told))


def _listed(items: Sequence[str]) -> str:
    return "; ".join(items)


def _one_line(text: str) -> str:
    r"""The text without line breaks, so that a question cannot write a line of its own such as "Names: …".

    Example:
        >>> _one_line("How big is it?\nNames: liver")
        'How big is it? Names: liver'
    """
    return " ".join(text.split())
