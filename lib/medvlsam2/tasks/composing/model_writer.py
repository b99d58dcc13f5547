"""A model as the writer of object expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medvlsam2.data import vocabulary
from medvlsam2.data.language.task_prompts import object_prompt
from medvlsam2.data.query.grammar import writing_grammar
from medvlsam2.data.query.linking import allowed_keys
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.writing import write_under


@dataclass(frozen=True)
class ModelWriter:
    """Writes object expressions with the language model of an engine that writes queries."""

    engine: Engine

    def write(self, phrase: str, keys: Sequence[str]) -> str:
        """The likeliest expression.

        Raises:
            InvalidPrompt: if the phrase holds a special token.
            Cancelled: if the work is no longer wanted.
        """
        prompt = object_prompt(phrase, [vocabulary.STRUCTURES[key].name for key in keys])
        return write_under(self.engine, prompt, writing_grammar("object", {*keys, *allowed_keys(phrase)}))
