"""Questions about one volume, read after an image that all of them share: one prefix instead of one each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.transforms.text import Conversation, encode_turns, prefix_ids


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
    image_tokens: Float[Tensor, "tokens hidden"],
    conversations: Sequence[Conversation],
    measured: str | None = None,
) -> Turns:
    """Read questions and answers about one volume.

    Args:
        model: the model.
        tokenizer: the model's.
        image_tokens: of the volume.
        conversations: what is asked, and the answers to learn.
        measured: what masks of the volume measure, in words.
    """
    device = image_tokens.device
    prefix = model.language.prefill(prefix_ids(tokenizer, len(image_tokens), measured).to(device), image_tokens[None])
    batch = encode_turns(tokenizer, conversations)
    ids = batch.input_ids.to(device)
    output = model.language.extend(prefix, ids, batch.attention_mask.to(device), batch.labels.to(device))
    assert output.loss is not None
    return Turns(ids, output.hidden_states_last, output.loss)
