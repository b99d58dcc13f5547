"""A model as the writer of object expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.language.task_prompts import PREFIX, object_prompt
from medvlsam2.data.query.grammar import writing_grammar
from medvlsam2.data.query.linking import allowed_keys
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.transforms.text import encode

MAX_TOKENS: Final = 96
"""Longest expression. The longest one of the training data has 60 tokens."""


class ModelWriter:
    """Writes object expressions with the engine's language model, in leases of the device of its own.

    Args:
        engine: whose model writes queries (:func:`writes_queries`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @torch.no_grad()
    def write(self, phrase: str, keys: Sequence[str]) -> str:
        """The likeliest expression, token by token.

        Raises:
            InvalidPrompt: if the phrase holds a special token.
            Cancelled: if the work is no longer wanted.
        """
        prompt = object_prompt(phrase, [vocabulary.STRUCTURES[key].name for key in keys])
        with self._engine.requests.one(), self._engine.lease():
            loaded = self._engine.loaded()
            ids = torch.tensor(encode(loaded.tokenizer, prompt), device=self._engine.device)
            start = len(encode(loaded.tokenizer, PREFIX))
            written = loaded.write(
                loaded.model.language.prefill(ids[:start], None),
                ids[start:],
                writing_grammar("object", {*keys, *allowed_keys(phrase)}),
                max_new_tokens=MAX_TOKENS,
                between=self._engine.device_lock.give_way,
            )
        return written.text


def writes_queries(engine: Engine) -> bool:
    """Whether the engine's model writes queries and object expressions, as its metadata say."""
    with engine.lease():
        return bool(engine.loaded().metadata.get("queries", False))
