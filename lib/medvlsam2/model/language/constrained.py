"""Writing under a grammar: the model chooses among the tokens that may come next, and is asked only where it can.

Tokens that the grammar forces are read together with the next choice, in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from medvlsam2.model.language.grammars import Grammars
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.language.reader import LanguageReader


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written under a grammar."""

    text: str
    """Exactly what the grammar read, without the end token."""
    log_probability: float
    """Sum over the free choices, in nats; each is compared with the tokens that the grammar allowed there."""
    num_choices: int
    """Tokens that the model chose; the grammar forced the others."""
    is_complete: bool
    """Whether the text is a whole sentence of the grammar; False where the limit of tokens ended it."""


class Page:
    """A turn that grows text by text, each under a grammar of its own; nothing is read twice.

    Args:
        language: the model.
        prefix_cache: the prefix, left as it is.
        turn_ids: the turn so far, at least one token.
        grammars: of the model's tokenizer.
        between: called after each choice, when other requests may use the device.
    """

    def __init__(
        self,
        language: LanguageReader,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, " t"],
        grammars: Grammars,
        between: Callable[[], None] | None = None,
    ) -> None:
        self._language = language
        self._grammars = grammars
        self._between = between
        self._cache = prefix_cache.expand(turn_ids.new_zeros(1), language.base.config)
        self._unread: list[int] = turn_ids.tolist()
        self._like = turn_ids

    @property
    def room(self) -> int:
        """Tokens that the model can still read."""
        read = self._cache.get_seq_length() + len(self._unread)
        return self._language.config.max_position_embeddings - read

    @torch.no_grad()
    def write(self, grammar: str, *, max_new_tokens: int, keep: bool = True) -> Written:
        """Continue greedily under a grammar.

        Args:
            grammar: in Lark's notation (see :meth:`~medvlsam2.model.language.grammars.Grammars.start`).
            max_new_tokens: the last token is chosen before so many; what the grammar forces after it is added.
            keep: whether the grammar may be asked for again, and stays compiled.

        Raises:
            InvalidRequest: when prefix, turn and text are too long.
            ValueError: if the grammar is wrong.
        """
        walk = self._grammars.start(grammar, keep=keep)
        written: list[int] = []
        total, num_choices = 0.0, 0
        while len(written) < max_new_tokens:
            forced = walk.forced()
            self._unread += forced
            written += forced
            if walk.is_over:
                break
            allowed = self._like.new_tensor(walk.allowed().tolist())
            chosen = 0
            if len(allowed) > 1:
                scores = self._scores(allowed)
                chosen = int(scores.argmax())
                total, num_choices = total + float(scores[chosen]), num_choices + 1
                if self._between is not None:
                    self._between()
            token = int(allowed[chosen])
            if token == self._language.token_ids.eos:
                break
            walk.step(token)
            self._unread.append(token)
            written.append(token)
        text = self._grammars.decode(written)
        return Written(text=text, log_probability=total, num_choices=num_choices, is_complete=walk.is_complete)

    def _scores(self, allowed: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Log-probabilities of some tokens to come next, each compared with these tokens alone."""
        length = self._cache.get_seq_length() + len(self._unread)
        ids = self._like.new_tensor([self._unread])
        mask = ids.new_ones(1, length)
        hidden = self._language.read(self._language.embed_prompt(ids, None), mask, self._cache)
        self._unread = []
        return self._language.logits_among(hidden[0, -1], allowed).log_softmax(dim=-1)


def write(
    language: LanguageReader,
    prefix_cache: PrefixCache,
    turn_ids: Int[Tensor, " t"],
    grammars: Grammars,
    grammar: str,
    *,
    max_new_tokens: int,
    between: Callable[[], None] | None = None,
) -> Written:
    """Continue a turn with one text; :class:`Page` says what the arguments mean."""
    return Page(language, prefix_cache, turn_ids, grammars, between).write(grammar, max_new_tokens=max_new_tokens)
