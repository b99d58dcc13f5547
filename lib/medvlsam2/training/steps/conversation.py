"""Questions about volumes, each read after its volume's image: one prefix for all questions about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.language.model import PrefixCache
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.transforms.text import Conversation, encode_turns, pad, prefix_ids

LONG_ANSWER: Final = 160
"""Characters of an answer above which it is read by itself: a report."""


@dataclass(frozen=True)
class Turns:
    """What the language model makes of some questions and their true answers, those about the first volume first."""

    input_ids: Int[Tensor, "k t"]
    hidden_states_last: Float[Tensor, "k t hidden"]
    loss: Float[Tensor, ""]
    """Mean cross-entropy of the answers' tokens."""


def turns_after_images(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    conversations: Sequence[Sequence[Conversation]],
    measured: Sequence[str | None],
) -> Turns:
    """Read questions and answers about volumes.

    Args:
        model: the model.
        tokenizer: the model's.
        image_tokens: of each volume; None: volumes that are only told of.
        conversations: what is asked about each, and the answers to learn.
        measured: what masks of each volume measure, in words; None: nothing is told.
    """
    prefixes = _prefixes(model, tokenizer, image_tokens, measured)
    return _read(model, tokenizer, prefixes, conversations)


def answers_loss(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    conversations: Sequence[Sequence[Conversation]],
    measured: Sequence[str | None],
) -> Float[Tensor, ""]:
    """Cross-entropy of answers about volumes; reports count as much as all short answers together.

    Arguments are those of :func:`turns_after_images`. Reports are read by themselves, so that short answers are not
    padded to their length.
    """
    prefixes = _prefixes(model, tokenizer, image_tokens, measured)
    long = [[each for each in items if len(each.answer) > LONG_ANSWER] for items in conversations]
    short = [[each for each in items if len(each.answer) <= LONG_ANSWER] for items in conversations]
    losses = [_read(model, tokenizer, prefixes, group).loss for group in (short, long) if any(group)]
    return torch.stack(losses).mean()


def _prefixes(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    measured: Sequence[str | None],
) -> PrefixCache:
    device = next(model.parameters()).device
    num_tokens = 0 if image_tokens is None else image_tokens.shape[1]
    rows = [prefix_ids(tokenizer, num_tokens, facts) for facts in measured]
    ids, attention_mask = pad(rows, model.language.token_ids.pad)
    return model.language.prefill_each(ids.to(device), attention_mask.to(device), image_tokens)


def _read(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    prefixes: PrefixCache,
    conversations: Sequence[Sequence[Conversation]],
) -> Turns:
    device = next(model.parameters()).device
    batch = encode_turns(tokenizer, [each for items in conversations for each in items])
    rows = torch.tensor([row for row, items in enumerate(conversations) for _ in items], device=device)
    ids = batch.input_ids.to(device)
    output = model.language.extend(prefixes, ids, batch.attention_mask.to(device), batch.labels.to(device), rows=rows)
    assert output.loss is not None
    return Turns(ids, output.hidden_states_last, output.loss)
