"""The language model as the writer of queries: one short prompt without an image, answered under the grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.task_prompts import query_prompt
from medvlsam2.data.query.grammar import writing_grammar
from medvlsam2.data.query.queries import Query
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.writing import write_under

_UNNAMED: Final = ("body",)
"""The grammar needs a name. A query about the body is refused if the question does not name the body."""


@dataclass(frozen=True)
class ModelWriter:
    """Writes queries with the language model of an engine that writes queries."""

    engine: Engine

    def write(self, question: str, names: Sequence[str], keys: Sequence[str], before: Query | None) -> str:
        """Return the text of the likeliest query.

        Raises:
            InvalidPrompt: if the question is empty or holds a special token.
            Cancelled: if the work is no longer wanted.
        """
        told = [vocabulary.STRUCTURES[key].name for key in names]
        prompt = query_prompt(question, told, None if before is None else str(before))
        return write_under(self.engine, prompt, writing_grammar("query", keys or _UNNAMED))
