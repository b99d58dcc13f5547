"""ViT3D: shapes, the order of patches, what the class token does, and refusals."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from medvlsam2.config import ViT3DConfig
from medvlsam2.errors import CheckpointMismatch, GeometryMismatch, MissingCheckpoint
from medvlsam2.model.volume_encoder.vit3d import ViT3D, load_m3d_clip

CONFIG = ViT3DConfig(
    image_size_dhw=(8, 32, 48),
    patch_size_dhw=(4, 16, 16),
    hidden_size=24,
    mlp_dim=48,
    num_layers=2,
    num_heads=3,
)


@pytest.fixture
def encoder() -> ViT3D:
    torch.manual_seed(0)
    return ViT3D(CONFIG).eval()


def test_gives_one_token_per_patch_and_one_for_the_volume(encoder):
    volume = torch.rand(2, 1, 8, 32, 48)
    output = encoder.encode(volume)
    assert output.patches.shape == (2, 2 * 2 * 3, 24)
    assert output.cls.shape == (2, 24)
    torch.testing.assert_close(encoder(volume), output.patches, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("voxel_dhw", "index"),
    [((0, 0, 0), 0), ((0, 0, 40), 2), ((0, 20, 0), 3), ((5, 0, 0), 6), ((7, 31, 47), 11)],
)
def test_patches_run_over_width_then_height_then_depth(encoder, voxel_dhw, index):
    volume = torch.zeros(1, 1, 8, 32, 48)
    before = encoder.patch_embedding(volume)
    volume[0, 0, *voxel_dhw] = 1.0
    changed = (encoder.patch_embedding(volume) != before).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [index]


def test_patches_attend_to_the_class_token_and_to_one_another(encoder):
    volume = torch.rand(1, 1, 8, 32, 48)
    before = encoder(volume)
    with torch.no_grad():
        encoder.cls_token += torch.randn(24)
    assert not torch.allclose(encoder(volume), before)
    moved = volume.clone()
    moved[..., :16] += 0.5
    assert not torch.allclose(encoder(moved)[:, -1], encoder(volume)[:, -1])


def test_tokens_are_normed(encoder):
    tokens = encoder(torch.rand(1, 1, 8, 32, 48))
    torch.testing.assert_close(tokens.mean(dim=-1), torch.zeros(1, 12), rtol=0, atol=1e-5)


def test_every_parameter_learns(encoder):
    output = encoder.encode(torch.rand(1, 1, 8, 32, 48))
    (output.patches.square() * torch.rand(24)).sum().add((output.cls.square() * torch.rand(24)).sum()).backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_volume_on_another_grid_is_refused(encoder):
    with pytest.raises(GeometryMismatch, match=r"\(8, 32, 32\) given; the encoder reads \(8, 32, 48\)"):
        encoder(torch.rand(1, 1, 8, 32, 32))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingCheckpoint, match=r"No file model\.safetensors"):
        load_m3d_clip(tmp_path / "model.safetensors")


def test_another_models_file_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match="holds 1 tensors, but not M3D-CLIP's"):
        load_m3d_clip(tmp_path / "model.safetensors")


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"patch_embedding.position_embeddings": tmp_path}, tmp_path / "pretrained_ViT.bin")
    with pytest.raises(CheckpointMismatch, match="code in it is not run"):
        load_m3d_clip(tmp_path / "pretrained_ViT.bin")
