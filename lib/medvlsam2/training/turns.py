"""Questions about one volume, read after an image that all of them share: one prefix instead of one each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.language import PrefixCache
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.transforms.text import Conversation, encode_turns, prefix_ids

LONG_ANSWER: Final = 160
"""Characters of an answer above which it is read by itself: a report."""


@dataclass(frozen=True)
class Turns:
    """What the language model makes of some questions and their true answers."""

    input_ids: Int[Tensor, "k t"]
    hidden_states_last: Float[Tensor, "k t hidden"]
    loss: Float[Tensor, ""]
    """Mean cross-entropy of the answers' tokens."""


def turns_after_image(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "tokens hidden"] | None,
    conversations: Sequence[Conversation],
    measured: str | None = None,
) -> Turns:
    """Read questions and answers about one volume.

    Args:
        model: the model.
        tokenizer: the model's.
        image_tokens: of the volume; None: a volume that is only told of.
        conversations: what is asked, and the answers to learn.
        measured: what masks of the volume measure, in words.
    """
    prefix = _prefix(model, tokenizer, image_tokens, measured)
    return _read(model, tokenizer, prefix, conversations)


def answers_loss(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "tokens hidden"] | None,
    conversations: Sequence[Conversation],
    measured: str | None,
) -> Float[Tensor, ""]:
    """Cross-entropy of answers about one volume; a report counts as much as all short answers together.

    Arguments are those of :func:`turns_after_image`. Reports are read by themselves, so that short answers are not
    padded to their length.
    """
    prefix = _prefix(model, tokenizer, image_tokens, measured)
    long = [each for each in conversations if len(each.answer) > LONG_ANSWER]
    short = [each for each in conversations if len(each.answer) <= LONG_ANSWER]
    losses = [_read(model, tokenizer, prefix, group).loss for group in (short, long) if group]
    return torch.stack(losses).mean()


def _prefix(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "tokens hidden"] | None,
    measured: str | None,
) -> PrefixCache:
    num_tokens = 0 if image_tokens is None else len(image_tokens)
    ids = prefix_ids(tokenizer, num_tokens, measured).to(next(model.parameters()).device)
    return model.language.prefill(ids, None if image_tokens is None else image_tokens[None])


def _read(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, prefix: PrefixCache, conversations: Sequence[Conversation]
) -> Turns:
    device = next(model.parameters()).device
    batch = encode_turns(tokenizer, conversations)
    ids = batch.input_ids.to(device)
    output = model.language.extend(prefix, ids, batch.attention_mask.to(device), batch.labels.to(device))
    assert output.loss is not None
    return Turns(ids, output.hidden_states_last, output.loss)
