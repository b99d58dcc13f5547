"""The whole-volume encoder: M3D-CLIP's 3-D vision transformer.

State-dict names and shapes are M3D-CLIP's own, so that its published weights load strictly. Attention is
``scaled_dot_product_attention``. This file knows nothing of HU, spacing or files other than weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from einops import rearrange
from einops.layers.torch import Rearrange
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from medvlsam2.config import ViT3DConfig
from medvlsam2.errors import CheckpointMismatch, GeometryMismatch, MissingCheckpoint

M3D_CLIP_PREFIX = "vision_encoder."


@dataclass(frozen=True, kw_only=True)
class ViT3DOutput:
    """What the encoder makes of a volume, after its last norm."""

    cls: Float[Tensor, "b hidden"]
    """One token for the whole volume (contrastive pretraining)."""
    patches: Float[Tensor, "b patches hidden"]
    """One token per patch, width running fastest, then height, then depth."""


class ViT3D(nn.Module):
    """M3D-CLIP's encoder: pre-norm blocks, no qkv bias, a class token without a position.

    Args:
        config: sizes.

    Reference:
        arXiv:2404.00578; monai: networks/nets/vit.py with "perceptron" patches.
    """

    def __init__(self, config: ViT3DConfig) -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.patch_embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.apply(_init_linear)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, volume: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, "b patches hidden"]:
        """Patch tokens of a volume, after the last norm and without the class token.

        Args:
            volume: intensities in [0, 1] on the encoder's own grid.

        Raises:
            GeometryMismatch: when the grid is not the configured one.
        """
        return self.encode(volume).patches

    def encode(self, volume: Float[Tensor, "b 1 d h w"]) -> ViT3DOutput:
        """Class token and patch tokens of a volume.

        Args:
            volume: intensities in [0, 1] on the encoder's own grid.

        Raises:
            GeometryMismatch: when the grid is not the configured one.
        """
        if tuple(volume.shape[2:]) != tuple(self.config.image_size_dhw):
            raise GeometryMismatch(
                f"Volume of shape {tuple(volume.shape[2:])} given; the encoder reads "
                f"{tuple(self.config.image_size_dhw)} (depth, height, width). Resample it first."
            )
        # [b, 1, d, h, w] -> [b, patches, hidden]
        tokens = self.patch_embedding(volume)
        # -> [b, 1 + patches, hidden]
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return ViT3DOutput(cls=tokens[:, 0], patches=tokens[:, 1:])


class PatchEmbedding(nn.Module):
    """Cut a volume into patches, project each, add its learnt position."""

    def __init__(self, config: ViT3DConfig) -> None:
        super().__init__()
        p1, p2, p3 = config.patch_size_dhw
        self.patch_embeddings = nn.Sequential(
            Rearrange("b c (d p1) (h p2) (w p3) -> b (d h w) (p1 p2 p3 c)", p1=p1, p2=p2, p3=p3),
            nn.Linear(p1 * p2 * p3, config.hidden_size),
        )
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.num_patches, config.hidden_size))
        nn.init.trunc_normal_(self.position_embeddings, std=0.02)

    def forward(self, volume: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, "b patches hidden"]:
        """Embed every patch."""
        return self.patch_embeddings(volume) + self.position_embeddings


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual."""

    def __init__(self, config: ViT3DConfig) -> None:
        super().__init__()
        self.mlp = MLP(config.hidden_size, config.mlp_dim)
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.attn = SelfAttention(config.hidden_size, config.num_heads)
        self.norm2 = nn.LayerNorm(config.hidden_size)

    def forward(self, tokens: Float[Tensor, "b n hidden"]) -> Float[Tensor, "b n hidden"]:
        """One transformer block."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class SelfAttention(nn.Module):
    """Multi-head self-attention without a qkv bias."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, tokens: Float[Tensor, "b n hidden"]) -> Float[Tensor, "b n hidden"]:
        """Let every token attend to all."""
        # [b, n, 3 * hidden] -> 3 x [b, heads, n, head_dim]
        query, key, value = rearrange(
            self.qkv(tokens), "b n (qkv heads dim) -> qkv b heads n dim", qkv=3, heads=self.num_heads
        )
        # -> [b, heads, n, head_dim]
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(rearrange(attended, "b heads n dim -> b n (heads dim)"))


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, hidden_size: int, mlp_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(hidden_size, mlp_dim)
        self.linear2 = nn.Linear(mlp_dim, hidden_size)

    def forward(self, tokens: Float[Tensor, "b n hidden"]) -> Float[Tensor, "b n hidden"]:
        """Transform each token on its own."""
        return self.linear2(F.gelu(self.linear1(tokens)))


def load_m3d_clip(path: Path | str) -> dict[str, Tensor]:
    """Read M3D-CLIP's vision weights under this module's names, in float32.

    Args:
        path: the whole CLIP as ``model.safetensors`` (its text side is left out), or the bare encoder as
            ``pretrained_ViT.bin``, which is read without executing pickled code.

    Raises:
        MissingCheckpoint: when there is no such file.
        CheckpointMismatch: when the file holds no M3D-CLIP vision encoder.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingCheckpoint(
            f"No file {path.name} in folder {path.parent.name}. M3D-CLIP's model.safetensors or "
            "pretrained_ViT.bin is needed. Copy one of them there."
        )
    if path.suffix == ".safetensors":
        stored = load_file(path)
        vision = {
            key.removeprefix(M3D_CLIP_PREFIX): value for key, value in stored.items() if key.startswith(M3D_CLIP_PREFIX)
        }
    else:
        try:
            stored = vision = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise CheckpointMismatch(
                f"{path.name} is not a plain file of tensors, and code in it is not run. "
                "Choose M3D-CLIP's own pretrained_ViT.bin."
            ) from error
    if "patch_embedding.position_embeddings" not in vision:
        raise CheckpointMismatch(
            f"{path.name} holds {len(stored)} tensors, but not M3D-CLIP's vision encoder: "
            f"'{M3D_CLIP_PREFIX}patch_embedding.position_embeddings' is expected in a .safetensors file, "
            "the same without the prefix in a .bin file. Choose M3D-CLIP's own file."
        )
    return {key: value.to(torch.float32) for key, value in vision.items()}


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
