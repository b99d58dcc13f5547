"""Short texts of the language model under a grammar: queries for questions, object expressions for phrases."""

from __future__ import annotations

from typing import Final

import torch

from medvlsam2.data.language.task_prompts import PREFIX
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.transforms.text import encode

MAX_TOKENS: Final = 96
"""Longest text in tokens. A difference of two objects with two conditions each has about 60, as has the longest object
expression of the training data."""


@torch.no_grad()
def write_under(engine: Engine, prompt: str, grammar: str) -> str:
    """Return the likeliest text, token by token, in a lease of the device of its own.

    Args:
        engine: whose model writes queries (:func:`writes_queries`).
        prompt: of a text task (``data.language.task_prompts``).
        grammar: that the text follows, in Lark's notation.

    Raises:
        InvalidPrompt: if the prompt holds a special token in a wrong place.
        Cancelled: if the work is no longer wanted.
    """
    with engine.requests.one(), engine.lease():
        loaded = engine.loaded()
        ids = torch.tensor(encode(loaded.tokenizer, prompt), device=engine.device)
        start = len(encode(loaded.tokenizer, PREFIX))
        written = loaded.write(
            loaded.model.language.prefill(ids[:start], None),
            ids[start:],
            grammar,
            max_new_tokens=MAX_TOKENS,
            between=engine.device_lock.give_way,
        )
    return written.text


def writes_queries(engine: Engine) -> bool:
    """Return whether the engine's model writes queries and object expressions, as its metadata say."""
    with engine.lease():
        return bool(engine.loaded().metadata.get("queries", False))
