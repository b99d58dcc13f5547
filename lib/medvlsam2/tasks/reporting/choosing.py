"""Who chooses the next line of a report: the language model, under a grammar that holds the possible lines alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, runtime_checkable

import torch

from medvlsam2.data.language.task_prompts import PREFIX
from medvlsam2.model.language.constrained import Page
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.transforms.text import encode

LINE_TOKENS: Final = 512
"""No line is longer in tokens; a list of everything that was not assessed is the longest one."""


@runtime_checkable
class Chooser(Protocol):
    """Chooses line after line of one report."""

    def choose(self, lines: Sequence[str]) -> str:
        """Return one of the lines, of which there is at least one."""


class FirstLines:
    """Chooses the first line always: the usual order and words, without a model."""

    def choose(self, lines: Sequence[str]) -> str:
        """Return the first line."""
        return lines[0]


class ModelChooser:
    """Chooses with a language model, which reads the facts and the lines so far.

    Args:
        page: the prompt, to which each chosen line is added.
    """

    def __init__(self, page: Page) -> None:
        self._page = page

    def choose(self, lines: Sequence[str]) -> str:
        """Return the line that the model writes; the first one where the model has no room to read on."""
        if self._page.room < LINE_TOKENS:
            return lines[0]
        written = self._page.write(grammar_of(lines), max_new_tokens=LINE_TOKENS, keep=False)
        text = written.text.removesuffix("\n")
        return text if text in lines else lines[0]


def grammar_of(lines: Sequence[str]) -> str:
    r"""Return a grammar, in Lark's notation, of these lines alone, each ended by a line break.

    Example:
        >>> print(grammar_of(["Splenomegaly.", "The spleen is enlarged."]))
        start: ("Splenomegaly." | "The spleen is enlarged.") "\n"
    """
    texts = " | ".join(json.dumps(line, ensure_ascii=False) for line in lines)
    return f'start: ({texts}) "\\n"'


@contextmanager
def model_chooser(engine: Engine, prompt: str) -> Iterator[ModelChooser]:
    """A chooser with the engine's model, which holds the device until the report is written.

    Other requests use the device between the choices.

    Args:
        engine: the model.
        prompt: of the report.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    with engine.requests.one(), engine.lease():
        loaded = engine.loaded()
        ids = torch.tensor(encode(loaded.tokenizer, prompt), device=engine.device)
        start = len(encode(loaded.tokenizer, PREFIX))
        prefix = loaded.model.language.prefill(ids[:start], None)
        yield ModelChooser(loaded.page(prefix, ids[start:], engine.device_lock.give_way))
