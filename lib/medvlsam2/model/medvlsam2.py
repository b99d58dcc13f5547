"""MedVL-SAM2, assembled: volume → image tokens → language → [SEG] → SAM 2.

Reference: arXiv:2601.09879 for the assembly; Sa2VA (arXiv:2501.04001) for the projection of the state at [SEG].
Parts are given in; nothing here chooses an implementation or a size.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medvlsam2.config import ModelConfig
from medvlsam2.model.device.precision import has_bfloat16
from medvlsam2.model.language.model import LanguageModel
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.pixel_decoder.volume_sam2 import VolumeSAM2
from medvlsam2.model.volume_encoder.vit3d import ViT3D


class MedVLSAM2(nn.Module):
    """The whole model.

    Args:
        config: what it was built from.
        vit: 3-D encoder of the whole volume.
        projector: image tokens for the language model.
        language: causal language model with LoRA.
        sam2: pixel decoder over slices.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        vit: ViT3D,
        projector: nn.Module,
        language: LanguageModel,
        sam2: VolumeSAM2,
    ) -> None:
        super().__init__()
        self.config = config
        self.vit = vit
        self.projector = projector
        self.language = language
        self.sam2 = sam2
        width = config.language.hidden_size
        self.seg_projector = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, config.sam2.hidden_dim)
        )
        # SAM 2's own prompt tokens have unit variance; a much smaller token has no effect beside them.
        for layer in self.seg_projector:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def place(self, device: torch.device) -> MedVLSAM2:
        """Put the model on a device; a pretrained base is held in the type in which the device computes."""
        self.language.hold_base_in(torch.bfloat16 if has_bfloat16(device) else torch.float32)
        return self.to(device)

    def encode_volume(self, volume: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, "b tokens hidden"]:
        """Image tokens for the language model."""
        tokens: Tensor = self.projector(self.vit(volume))
        return tokens

    def request_tokens(
        self, prefix: PrefixCache, turn_ids: Int[Tensor, "k t"], attention_mask: Int[Tensor, "k t"]
    ) -> Float[Tensor, "n c"]:
        """Prompt tokens for SAM 2 of requests that each follow the same prefix.

        Args:
            prefix: of the scan.
            turn_ids: the requests with their answers up to [SEG], padded on the right.
            attention_mask: 1 for a token, 0 for padding.
        """
        return self.text_tokens(self.language.read_turns(prefix, turn_ids, attention_mask), turn_ids)

    def text_tokens(self, hidden: Float[Tensor, "b s hidden"], input_ids: Int[Tensor, "b s"]) -> Float[Tensor, "n c"]:
        """Prompt tokens for SAM 2: the projected states at every [SEG], in order."""
        # A pretrained base computes in bfloat16; autocast, where it is on, does the same with what follows.
        tokens: Tensor = self.seg_projector(self.language.seg_hidden(hidden, input_ids).float())
        return tokens
