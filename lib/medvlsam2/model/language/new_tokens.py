"""Trainable offsets of a few new tokens, [SEG] above all, while the rest of the vocabulary is frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class NewTokens(nn.Module):
    """Offsets of a few tokens' embedding and output rows, zero at first.

    Training the whole embedding for one new token would take three times its memory (gradient and two moments).

    Args:
        token_ids: the tokens, ascending.
        hidden_size: the language model's width.
        tied: whether embedding and output layer share their rows, and so their offsets.
    """

    token_ids: Tensor
    output: nn.Parameter | None

    def __init__(self, token_ids: Sequence[int], hidden_size: int, *, tied: bool) -> None:
        super().__init__()
        self.register_buffer("token_ids", torch.tensor(token_ids), persistent=False)
        self.embedding = nn.Parameter(torch.zeros(len(token_ids), hidden_size))
        output = None if tied else nn.Parameter(torch.zeros(len(token_ids), hidden_size))
        self.register_parameter("output", output)

    def add_to_embeddings(
        self, embeddings: Float[Tensor, "b s hidden"], input_ids: Int[Tensor, "b s"]
    ) -> Float[Tensor, "b s hidden"]:
        """Shift the embeddings of new tokens."""
        # -> [b, s, n]
        is_token = input_ids[..., None].eq(self.token_ids).to(embeddings.dtype)
        return embeddings + is_token @ self.embedding.to(embeddings.dtype)

    def add_to_logits(
        self, logits: Float[Tensor, "*n vocab"], hidden: Float[Tensor, "*n hidden"]
    ) -> Float[Tensor, "*n vocab"]:
        """Shift the logits of new tokens, in place."""
        rows = self.embedding if self.output is None else self.output
        # -> [*n, new]
        offsets = hidden @ rows.T.to(hidden.dtype)
        return logits.index_add_(-1, self.token_ids, offsets.to(logits.dtype))

    def add_to_output_rows(
        self, rows: Float[Tensor, "n hidden"], token_ids: Int[Tensor, " n"]
    ) -> Float[Tensor, "n hidden"]:
        """Shift the output rows of new tokens among others."""
        offsets = self.embedding if self.output is None else self.output
        # -> [n, new]
        is_token = token_ids[:, None].eq(self.token_ids).to(rows.dtype)
        return rows + is_token @ offsets.to(rows.dtype)
