"""The language model as the writer of queries: one short prompt without an image, answered under the grammar."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.language.task_prompts import PREFIX, query_prompt
from medvlsam2.data.query.grammar import writing_grammar
from medvlsam2.data.query.queries import Query
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.transforms.text import encode

MAX_TOKENS: Final = 96
"""Longest query in tokens; a difference of two objects with two conditions each has about 60."""
_UNNAMED: Final = ("body",)
"""The grammar needs a name. A query about the body is refused if the question does not name the body."""


class ModelWriter:
    """Writes queries with the engine's language model, in leases of the device of its own.

    Args:
        engine: whose model writes queries (:func:`writes_queries`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @torch.no_grad()
    def write(
        self,
        question: str,
        names: Sequence[str],
        keys: Sequence[str],
        before: Query | None,
        kinds: Collection[str] | None = None,
    ) -> str:
        """Return the text of the likeliest query, token by token.

        Raises:
            InvalidPrompt: if the question is empty or holds a special token.
            Cancelled: if the work is no longer wanted.
        """
        told = [vocabulary.STRUCTURES[key].name for key in names]
        prompt = query_prompt(question, told, None if before is None else str(before))
        with self._engine.requests.one(), self._engine.lease():
            loaded = self._engine.loaded()
            ids = torch.tensor(encode(loaded.tokenizer, prompt), device=self._engine.device)
            start = len(encode(loaded.tokenizer, PREFIX))
            written = loaded.write(
                loaded.model.language.prefill(ids[:start], None),
                ids[start:],
                writing_grammar("query", keys or _UNNAMED, kinds),
                max_new_tokens=MAX_TOKENS,
                between=self._engine.device_lock.give_way,
            )
        return written.text


def writes_queries(engine: Engine) -> bool:
    """Return whether the engine's model writes queries, as its metadata say."""
    with engine.lease():
        return bool(engine.loaded().metadata.get("queries", False))
