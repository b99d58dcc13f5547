"""Our ViT3D is M3D-CLIP's: the same names, shapes and numbers, so that its published weights load strictly."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.patchembedding import PatchEmbeddingBlock
from monai.networks.blocks.transformerblock import TransformerBlock
from safetensors.torch import save_file
from torch import Tensor, nn

from medvlsam2.config import ViT3DConfig
from medvlsam2.model.volume_encoder.vit3d import ViT3D, load_m3d_clip

SMALL = ViT3DConfig(
    image_size_dhw=(8, 32, 48),
    patch_size_dhw=(4, 16, 16),
    hidden_size=24,
    mlp_dim=48,
    num_layers=3,
    num_heads=4,
)


def expected_table() -> dict[str, tuple[int, ...]]:
    """Names and shapes in M3D-CLIP's vision encoder, as published."""
    table: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 768),
        "patch_embedding.position_embeddings": (1, 2048, 768),
        "patch_embedding.patch_embeddings.1.weight": (768, 1024),
        "patch_embedding.patch_embeddings.1.bias": (768,),
        "norm.weight": (768,),
        "norm.bias": (768,),
    }
    for n in range(12):
        table |= {
            f"blocks.{n}.mlp.linear1.weight": (3072, 768),
            f"blocks.{n}.mlp.linear1.bias": (3072,),
            f"blocks.{n}.mlp.linear2.weight": (768, 3072),
            f"blocks.{n}.mlp.linear2.bias": (768,),
            f"blocks.{n}.norm1.weight": (768,),
            f"blocks.{n}.norm1.bias": (768,),
            f"blocks.{n}.norm2.weight": (768,),
            f"blocks.{n}.norm2.bias": (768,),
            f"blocks.{n}.attn.qkv.weight": (2304, 768),
            f"blocks.{n}.attn.out_proj.weight": (768, 768),
            f"blocks.{n}.attn.out_proj.bias": (768,),
        }
    return table


class MonaiReference(nn.Module):
    """M3D's forward, assembled from MONAI's own blocks."""

    def __init__(self, config: ViT3DConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.patch_embedding = PatchEmbeddingBlock(
            in_channels=1,
            img_size=config.image_size_dhw,
            patch_size=config.patch_size_dhw,
            hidden_size=config.hidden_size,
            num_heads=config.num_heads,
            proj_type="perceptron",
            pos_embed_type="learnable",
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(config.hidden_size, config.mlp_dim, config.num_heads, qkv_bias=False)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, volume: Tensor) -> Tensor:
        tokens = self.patch_embedding(volume)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


@pytest.fixture
def encoder() -> ViT3D:
    torch.manual_seed(1)
    encoder = ViT3D(SMALL).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return encoder


def test_full_size_has_exactly_the_published_tensors():
    with torch.device("meta"):
        encoder = ViT3D(ViT3DConfig())
    table = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert len(table) == 138
    assert table == expected_table()
    assert sum(p.numel() for p in encoder.parameters()) == 87_388_416 + 768


def test_same_weights_same_tokens_as_monais_blocks(encoder):
    reference = MonaiReference(SMALL).eval()
    loaded = reference.load_state_dict(encoder.state_dict(), strict=False)
    assert loaded.unexpected_keys == []
    # MONAI builds this norm for cross-attention and does not use it here.
    assert all(".norm_cross_attn." in key for key in loaded.missing_keys)
    volume = torch.rand(2, 1, 8, 32, 48)
    with torch.no_grad():
        expected = reference(volume)
        output = encoder.encode(volume)
    torch.testing.assert_close(output.cls, expected[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.patches, expected[:, 1:], rtol=1e-4, atol=1e-5)


def test_whole_clip_as_safetensors_loads_strictly(encoder, tmp_path):
    stored = {f"vision_encoder.{name}": value for name, value in encoder.state_dict().items()}
    stored |= {"language_encoder.embeddings.weight": torch.zeros(3, 3), "logit_scale": torch.zeros(1)}
    save_file(stored, tmp_path / "model.safetensors")
    fresh = ViT3D(SMALL).eval()
    fresh.load_state_dict(load_m3d_clip(tmp_path / "model.safetensors"), strict=True)
    volume = torch.rand(1, 1, 8, 32, 48)
    torch.testing.assert_close(fresh(volume), encoder(volume), rtol=0, atol=0)


def test_bare_encoder_in_bfloat16_loads_strictly_as_float32(encoder, tmp_path):
    stored = {name: value.to(torch.bfloat16) for name, value in encoder.state_dict().items()}
    torch.save(stored, tmp_path / "pretrained_ViT.bin")
    loaded = load_m3d_clip(tmp_path / "pretrained_ViT.bin")
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    ViT3D(SMALL).load_state_dict(loaded, strict=True)
    for name, value in loaded.items():
        torch.testing.assert_close(value, stored[name].float(), rtol=0, atol=0)
