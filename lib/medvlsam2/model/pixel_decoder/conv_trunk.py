"""A convolutional trunk for SAM 2's image encoder, for models that learn from scratch.

SAM 2's trunk, Hiera, does not learn from a hundred scans; convolutions with GroupNorm do. This trunk takes Hiera's
place (as RepViT does in EdgeTAM), and ``sam2``'s ``ImageEncoder`` and ``FpnNeck`` use it unchanged: ``channel_list``
goes from coarse to fine, the outputs go from fine to coarse, and each level has half the resolution of the one before.
A decoder path with blocks, as in U-Net (arXiv:1505.04597), brings the context of the coarse levels to the fine levels.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_GROUP_CHANNELS = 16
"""Channels that GroupNorm normalises together."""


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
        decoder_depths: blocks of the decoder path per level, without the coarsest; empty: no decoder path.
        stem_stride: input pixels per pixel of the finest level.
    """

    def __init__(
        self, channels: tuple[int, ...], depths: tuple[int, ...], decoder_depths: tuple[int, ...], stem_stride: int
    ) -> None:
        super().__init__()
        self.channel_list = list(reversed(channels))
        self.stem = nn.Conv2d(3, channels[0], 2 * stem_stride - 1, stride=stem_stride, padding=stem_stride - 1)
        self.downsamples = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
            for width, depth in zip(channels, depths, strict=True)
        )
        upwards = list(zip(pairwise(channels), decoder_depths, strict=True)) if decoder_depths else []
        self.upsamples = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for (fine, coarse), _ in upwards)
        self.decoder_levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(fine) for _ in range(depth))) for (fine, _), depth in upwards
        )

    def forward(self, slices: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Feature maps of all levels, finest first."""
        features = [self.levels[0](self.stem(slices))]
        for downsample, level in zip(self.downsamples, list(self.levels)[1:], strict=True):
            features.append(level(downsample(features[-1])))
        for number in reversed(range(len(self.upsamples))):
            above = F.interpolate(self.upsamples[number](features[number + 1]), scale_factor=2, mode="nearest")
            features[number] = self.decoder_levels[number](features[number] + above)
        return features
