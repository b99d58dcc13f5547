"""Questions, and requests for masks, read by the language model after the image of their volume.

The image and the measurements of a volume are its prefix. Each prefix is read once, however many questions follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language import chat
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.data.conversation_samples import ConversationSample
from medvlsam2.transforms.text import Conversation, encode_turns, pad, prefix_ids

LONG_ANSWER: Final = 160
"""An answer of more characters is a report, and is read apart from the short answers.

Of 5439 short answers to questions about imagined scans the longest had 110 characters; half of 244 reports had more
than 256."""


@dataclass(frozen=True)
class Turns:
    """The language model's states over some questions with their true answers, those about the first volume first."""

    input_ids: Int[Tensor, "k t"]
    hidden_states_last: Float[Tensor, "k t hidden"]
    loss: Float[Tensor, ""]
    """Mean cross-entropy of the answers' tokens."""


def read_turns(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    samples: Sequence[ConversationSample],
) -> Turns:
    """Read questions and answers about volumes.

    Args:
        model: the model.
        tokenizer: the model's.
        image_tokens: of each volume; None: the volumes have no image, only measurements.
        samples: the conversations about each volume.
    """
    prefixes = _prefixes(model, tokenizer, image_tokens, [sample.measured for sample in samples])
    return _after(model, tokenizer, prefixes, [sample.conversations for sample in samples])


def answers_loss(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    samples: Sequence[ConversationSample],
) -> Float[Tensor, ""]:
    """Cross-entropy of answers about volumes; reports count as much as all short answers together.

    Arguments are those of :func:`read_turns`. Reports are a batch of their own, so that short answers are not padded
    to the length of reports.
    """
    prefixes = _prefixes(model, tokenizer, image_tokens, [sample.measured for sample in samples])
    every = [sample.conversations for sample in samples]
    long = [[each for each in items if len(each.answer) > LONG_ANSWER] for items in every]
    short = [[each for each in items if len(each.answer) <= LONG_ANSWER] for items in every]
    losses = [_after(model, tokenizer, prefixes, group).loss for group in (short, long) if any(group)]
    return torch.stack(losses).mean()


def request_tokens(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"],
    phrases: Sequence[Sequence[str]],
) -> tuple[Float[Tensor, "k c"], Float[Tensor, ""]]:
    """Prompt tokens of requests for masks, those about the first volume first, and the answers' language loss.

    Args:
        model: the model.
        tokenizer: the model's.
        image_tokens: of each volume.
        phrases: the requests about each volume, as whole questions.
    """
    asked = [tuple(Conversation(phrase, chat.SEGMENTATION_ANSWER) for phrase in items) for items in phrases]
    turns = read_turns(model, tokenizer, image_tokens, [ConversationSample(items, None) for items in asked])
    return model.text_tokens(turns.hidden_states_last, turns.input_ids), turns.loss


def _prefixes(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    image_tokens: Float[Tensor, "v tokens hidden"] | None,
    measured: Sequence[str | None],
) -> PrefixCache:
    """One prefix for each volume, padded on the right."""
    device = next(model.parameters()).device
    num_tokens = 0 if image_tokens is None else image_tokens.shape[1]
    rows = [prefix_ids(tokenizer, num_tokens, text) for text in measured]
    ids, attention_mask = pad(rows, model.language.token_ids.pad)
    return model.language.prefill_each(ids.to(device), attention_mask.to(device), image_tokens)


def _after(
    model: MedVLSAM2,
    tokenizer: PreTrainedTokenizerBase,
    prefixes: PrefixCache,
    conversations: Sequence[Sequence[Conversation]],
) -> Turns:
    """The conversations about each volume, each as if it alone followed the volume's prefix."""
    device = next(model.parameters()).device
    batch = encode_turns(tokenizer, [each for items in conversations for each in items])
    rows = torch.tensor([row for row, items in enumerate(conversations) for _ in items], device=device)
    ids = batch.input_ids.to(device)
    output = model.language.extend(prefixes, ids, batch.attention_mask.to(device), batch.labels.to(device), rows=rows)
    assert output.loss is not None
    return Turns(ids, output.hidden_states_last, output.loss)
