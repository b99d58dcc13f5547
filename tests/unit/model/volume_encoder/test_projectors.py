"""Projectors: shapes, mixing of tokens and channels, and sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medvlsam2.errors import InvalidConfig
from medvlsam2.model.volume_encoder.linear_projector import LinearProjector
from medvlsam2.model.volume_encoder.mixer_projector import MixerProjector


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_mixer_changes_count_and_width(depth):
    projector = MixerProjector(in_tokens=32, in_dim=12, out_tokens=8, out_dim=20, depth=depth)
    tokens = projector(torch.randn(2, 32, 12))
    assert tokens.shape == (2, 8, 20)
    assert len(projector.layers) == depth - 1


def test_one_mixer_layer_is_norm_token_mlp_norm_channel_mlp():
    torch.manual_seed(0)
    projector = MixerProjector(in_tokens=6, in_dim=4, out_tokens=3, out_dim=5, depth=1)
    tokens = torch.randn(1, 6, 4)
    layer = projector.resize
    gelu = nn.GELU()
    normed = layer.token_norm(tokens)[0].T
    mixed = layer.token_mlp[2](gelu(layer.token_mlp[0](normed))).T
    expected = layer.channel_mlp[2](gelu(layer.channel_mlp[0](layer.channel_norm(mixed))))
    torch.testing.assert_close(projector(tokens)[0], expected)


def test_an_added_layer_whose_mlps_are_silent_changes_nothing():
    torch.manual_seed(0)
    projector = MixerProjector(in_tokens=6, in_dim=4, out_tokens=3, out_dim=5, depth=2)
    tokens = torch.randn(1, 6, 4)
    assert not torch.allclose(projector(tokens), projector.resize(tokens))
    for mlp in (projector.layers[0].token_mlp, projector.layers[0].channel_mlp):
        nn.init.zeros_(mlp[2].weight)
        nn.init.zeros_(mlp[2].bias)
    torch.testing.assert_close(projector(tokens), projector.resize(tokens), rtol=0, atol=0)


def test_every_output_token_reads_every_input_token():
    torch.manual_seed(0)
    projector = MixerProjector(in_tokens=6, in_dim=4, out_tokens=3, out_dim=5, depth=1)
    tokens = torch.randn(1, 6, 4, requires_grad=True)
    for token in range(3):
        (gradient,) = torch.autograd.grad(projector(tokens)[0, token].sum(), tokens)
        assert gradient.abs().sum(dim=-1).min() > 0


def test_full_size_has_2_8_million_parameters_at_a_width_of_896():
    with torch.device("meta"):
        projector = MixerProjector(in_tokens=2048, in_dim=768, out_tokens=512, out_dim=896, depth=1)
    token_mlp = 2048 * 512 + 512 + 512 * 512 + 512
    channel_mlp = 768 * 896 + 896 + 896 * 896 + 896
    norms = 2 * 2 * 768
    assert sum(p.numel() for p in projector.parameters()) == token_mlp + channel_mlp + norms == 2_807_552


def test_linear_projector_pools_neighbours_along_a_row():
    projector = LinearProjector(in_tokens=8, in_dim=3, out_tokens=2, out_dim=3)
    nn.init.eye_(projector.linear.weight)
    nn.init.zeros_(projector.linear.bias)
    tokens = torch.randn(1, 8, 3)
    expected = torch.stack([tokens[0, :4].mean(dim=0), tokens[0, 4:].mean(dim=0)])
    torch.testing.assert_close(projector(tokens)[0], expected)


def test_linear_projector_refuses_unequal_groups():
    with pytest.raises(InvalidConfig, match="num_tokens 3 does not divide the 8 vision tokens"):
        LinearProjector(in_tokens=8, in_dim=3, out_tokens=3, out_dim=3)
