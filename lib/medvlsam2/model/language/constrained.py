"""Writing under a grammar: the model chooses among the tokens that may come next, and is asked only where it can.

Tokens that the grammar forces are read together with the next choice, in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
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


@torch.no_grad()
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
    """Continue a turn greedily under a grammar.

    Args:
        language: the model.
        prefix_cache: the prefix, left as it is.
        turn_ids: the turn so far, at least one token.
        grammars: of the model's tokenizer.
        grammar: in Lark's notation (see :meth:`~medvlsam2.model.language.grammars.Grammars.start`).
        max_new_tokens: the last token is chosen before so many; what the grammar forces after it is added.
        between: called after each choice, when other requests may use the device.

    Raises:
        InvalidRequest: when prefix, turn and text are too long.
        ValueError: if the grammar is wrong.
    """
    walk = grammars.start(grammar)
    cache = prefix_cache.expand(turn_ids.new_zeros(1), language.base.config)
    unread, written = turn_ids.tolist(), list[int]()
    total, num_choices = 0.0, 0
    while len(written) < max_new_tokens:
        forced = walk.forced()
        unread += forced
        written += forced
        if walk.is_over:
            break
        allowed = turn_ids.new_tensor(walk.allowed().tolist())
        if len(allowed) == 1:
            chosen = 0
        else:
            length = cache.get_seq_length() + len(unread)
            ids = turn_ids.new_tensor([unread])
            hidden = language.read(language.embed_prompt(ids, None), ids.new_ones(1, length), cache)
            scores = language.logits_among(hidden[0, -1], allowed).log_softmax(dim=-1)
            chosen, unread = int(scores.argmax()), []
            total, num_choices = total + float(scores[chosen]), num_choices + 1
            if between is not None:
                between()
        token = int(allowed[chosen])
        if token == language.token_ids.eos:
            break
        walk.step(token)
        unread.append(token)
        written.append(token)
    return Written(
        text=grammars.decode(written), log_probability=total, num_choices=num_choices, is_complete=walk.is_complete
    )
