"""The linear projector, the paper's ablation (Table 6): fixed pooling, then one linear layer."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from medvlsam2.errors import InvalidConfig


class LinearProjector(nn.Module):
    """Mean over groups of neighbouring tokens, then a linear layer to the language model's width.

    Vision tokens run fastest along the width of the patch grid, so a group of ``in_tokens / out_tokens``
    consecutive tokens is a strip of neighbours along one row: 8 x 16 x 16 patches become 8 x 16 x 4 tokens.

    Args:
        in_tokens: vision tokens per volume, a multiple of ``out_tokens``.
        in_dim: their width.
        out_tokens: tokens that the language model reads.
        out_dim: the language model's width.

    Raises:
        InvalidConfig: when the tokens do not divide into equal groups.
    """

    def __init__(self, in_tokens: int, in_dim: int, out_tokens: int, out_dim: int) -> None:
        super().__init__()
        if in_tokens % out_tokens:
            raise InvalidConfig(
                f"num_tokens {out_tokens} does not divide the {in_tokens} vision tokens into equal groups. "
                "Choose a divisor, or the mixer projector."
            )
        self.out_tokens = out_tokens
        self.linear = nn.Linear(in_dim, out_dim)

    def forward(self, tokens: Float[Tensor, "b in_tokens in_dim"]) -> Float[Tensor, "b out_tokens out_dim"]:
        """Pool and project the tokens of each volume."""
        # [b, in_tokens, in_dim] -> [b, out_tokens, group, in_dim] -> [b, out_tokens, in_dim]
        pooled = tokens.unflatten(1, (self.out_tokens, -1)).mean(dim=2)
        return self.linear(pooled)
