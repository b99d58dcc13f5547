"""The paper's projector: an MLP-Mixer from vision tokens to the language model's token count and width.

A plain projector keeps the number of tokens. This one learns which patches to combine, so 2,048 patches
become 512 tokens that a language model can afford.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class MixerProjector(nn.Module):
    """Mixer layers, each LN, token MLP, LN, channel MLP.

    The first layer changes count and width, so nothing of equal shape exists to add to its result and it has
    no residual: at depth 1 this is Med3DVLM's projector layer. Later layers keep their shape and have the two
    residuals of the original MLP-Mixer, so that added depth starts near the identity instead of erasing what
    the layer before it learnt.

    Args:
        in_tokens: vision tokens per volume.
        in_dim: their width.
        out_tokens: tokens that the language model reads.
        out_dim: the language model's width.
        depth: number of mixer layers, at least 1.

    Reference:
        arXiv:2105.01601 (MLP-Mixer); arXiv:2503.20047 (Med3DVLM).
    """

    def __init__(self, in_tokens: int, in_dim: int, out_tokens: int, out_dim: int, depth: int) -> None:
        super().__init__()
        self.resize = MixerLayer(in_tokens, in_dim, out_tokens, out_dim)
        self.layers = nn.ModuleList(ResidualMixerLayer(out_tokens, out_dim) for _ in range(depth - 1))

    def forward(self, tokens: Float[Tensor, "b in_tokens in_dim"]) -> Float[Tensor, "b out_tokens out_dim"]:
        """Compress the tokens of each volume."""
        tokens = self.resize(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class MixerLayer(nn.Module):
    """LN, token MLP, LN, channel MLP; each MLP may change the size of its axis."""

    def __init__(self, in_tokens: int, in_dim: int, out_tokens: int, out_dim: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(in_dim)
        self.token_mlp = _mlp(in_tokens, out_tokens)
        self.channel_norm = nn.LayerNorm(in_dim)
        self.channel_mlp = _mlp(in_dim, out_dim)

    def mix_tokens(self, tokens: Float[Tensor, "b n dim"]) -> Float[Tensor, "b m dim"]:
        """Combine tokens, channel by channel."""
        # [b, n, dim] -> [b, dim, n] -> [b, dim, m] -> [b, m, dim]
        return self.token_mlp(self.token_norm(tokens).transpose(1, 2)).transpose(1, 2)

    def mix_channels(self, tokens: Float[Tensor, "b m dim"]) -> Float[Tensor, "b m out_dim"]:
        """Combine channels, token by token."""
        return self.channel_mlp(self.channel_norm(tokens))

    def forward(self, tokens: Float[Tensor, "b n dim"]) -> Float[Tensor, "b m out_dim"]:
        """Mix tokens, then channels."""
        return self.mix_channels(self.mix_tokens(tokens))


class ResidualMixerLayer(MixerLayer):
    """A mixer layer of equal input and output shape, with a residual around each MLP."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__(tokens, dim, tokens, dim)

    def forward(self, tokens: Float[Tensor, "b m dim"]) -> Float[Tensor, "b m dim"]:
        """Refine the tokens."""
        tokens = tokens + self.mix_tokens(tokens)
        return tokens + self.mix_channels(tokens)


def _mlp(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.GELU(), nn.Linear(out_features, out_features))
