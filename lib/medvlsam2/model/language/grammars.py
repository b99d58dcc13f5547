"""Grammars in Lark's notation, compiled for a tokenizer: which tokens may come next.

Reference: llguidance (github.com/guidance-ai/llguidance), whose dialect of Lark leaves out look-around and templates.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from cachetools import LRUCache
from jaxtyping import Int
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

KEPT_GRAMMARS: Final = 16
"""Grammars that stay compiled: the fixed ones of the tasks, and the last few that name a scan's own facts."""


class Walk:
    """One walk through a grammar, token by token.

    Args:
        matcher: at the grammar's start.
    """

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Whether the text so far is a whole sentence of the grammar."""
        return self._matcher.is_accepting()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added."""
        return self._matcher.is_stopped()

    def forced(self) -> list[int]:
        """Step over the tokens that alone can come next, and return them; often there are none."""
        tokens = self._matcher.compute_ff_tokens()
        if tokens:
            self._consumed(self._matcher.consume_tokens(tokens))
        return tokens

    def allowed(self) -> Int[np.ndarray, " n"]:
        """Ids of the tokens that may come next, ascending; the end token is among them where the text may end."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        return np.flatnonzero(bits)

    def step(self, token: int) -> None:
        """Step over a token that is allowed."""
        self._consumed(self._matcher.consume_token(token))

    def _consumed(self, succeeded: bool) -> None:
        if not succeeded:
            raise ValueError(f"The grammar does not go on: {self._matcher.get_error()}")


class Grammars:
    """Compiles grammars for one tokenizer, and keeps the last few. Any number of threads may ask.

    Args:
        tokenizer: of the model.
        vocab_size: rows of the model's output layer, which may be more than the tokenizer's tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._tokens: LLTokenizer | None = None
        self._compiled: LRUCache[str, LLMatcher] = LRUCache(KEPT_GRAMMARS)
        self._guard = threading.Lock()

    def start(self, grammar: str, *, keep: bool = True) -> Walk:
        """Begin a walk.

        Args:
            grammar: in Lark's notation; its first rule is ``start``. Free text matches no special token.
            keep: whether it may be asked for again, and stays compiled.

        Raises:
            ValueError: if the grammar is wrong; the message says where.
        """
        with self._guard:
            matcher = self._compiled.get(grammar)
            if matcher is None:
                matcher = LLMatcher(self._prepared(), LLMatcher.grammar_from_lark(grammar))
                if matcher.is_error():
                    raise ValueError(f"The grammar is wrong: {matcher.get_error()}")
                if keep:
                    self._compiled[grammar] = matcher
            return Walk(matcher.deep_copy())

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens."""
        text = self._tokenizer.decode(list(token_ids))
        assert isinstance(text, str)
        return text

    def _prepared(self) -> LLTokenizer:
        """The tokenizer as llguidance needs it; made on first use, because that takes up to a second."""
        if self._tokens is None:
            assert isinstance(self._tokenizer, PreTrainedTokenizerFast)
            self._tokens = from_tokenizer(self._tokenizer, n_vocab=self._vocab_size)
        return self._tokens
