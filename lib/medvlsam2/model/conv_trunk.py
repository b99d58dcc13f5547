"""A convolutional trunk for SAM 2's image encoder, for models that learn from scratch.

SAM 2's Hiera does not learn from a hundred scans; convolutions with GroupNorm do. It stands where Hiera stands
(EdgeTAM put RepViT there), so ``sam2``'s ``ImageEncoder`` and ``FpnNeck`` take it unchanged: ``channel_list`` is
coarse to fine, the outputs are fine to coarse, each level at half the resolution of the one before.
"""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

_GROUP_CHANNELS = 16


class ConvBlock(nn.Module):
    """Residual pair of 3x3 convolutions: x + conv(act(norm(conv(act(norm(x))))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(max(1, channels // _GROUP_CHANNELS), channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(max(1, channels // _GROUP_CHANNELS), channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.GELU()
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Same shape out as in."""
        hidden = self.conv1(self.act(self.norm1(x)))
        return x + self.conv2(self.act(self.norm2(hidden)))


class ConvTrunk(nn.Module):
    """A pyramid of :class:`ConvBlock` levels.

    Args:
        channels: channels per level, finest first.
        depths: blocks per level.
        stem_stride: input pixels per pixel of the finest level.
    """

    def __init__(self, channels: tuple[int, ...], depths: tuple[int, ...], stem_stride: int) -> None:
        super().__init__()
        self.channel_list = list(reversed(channels))
        self.stem = nn.Conv2d(3, channels[0], 2 * stem_stride - 1, stride=stem_stride, padding=stem_stride - 1)
        self.downsamples = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
            for width, depth in zip(channels, depths, strict=True)
        )

    def forward(self, slices: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Feature maps of all levels, finest first."""
        features = [self.levels[0](self.stem(slices))]
        for downsample, level in zip(self.downsamples, list(self.levels)[1:], strict=True):
            features.append(level(downsample(features[-1])))
        return features
