"""Another model whose prompt tokens a model learns to give: the same pixel decoder then finds the same masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from medvlsam2.errors import InvalidConfig
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.transforms.text import prefix_ids, request_turns

OF_MASKS: Final = ("structures", "findings", "trained_on", "finding_thresholds", "confidence")
"""Entries of a model's metadata that tell of its masks."""


@dataclass(frozen=True)
class Teacher:
    """A trained model with the pixel decoder of the one that learns from it."""

    loaded: LoadedModel

    @torch.no_grad()
    def tokens(self, whole: Float[Tensor, "1 d h w"], questions: Sequence[str]) -> Float[Tensor, "k c"]:
        """The prompt token of each of some requests about one scan, as serving computes them.

        Args:
            whole: the 3-D encoder's input.
            questions: the requests, as whole questions.
        """
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        ids = prefix_ids(tokenizer, model.config.projector.num_tokens)
        prefix = model.language.prefill(ids, model.encode_volume(whole[None]))
        return model.request_tokens(prefix, *request_turns(tokenizer, questions))

    def hand_over(self, model: MedVLSAM2) -> None:
        """Give a model the teacher's vision encoder and pixel decoder.

        Raises:
            InvalidConfig: if they do not fit.
        """
        own, given = model.config, self.loaded.config
        if (own.vit, own.sam2) != (given.vit, given.sam2):
            raise InvalidConfig(
                f"'{given.model_id}' has another vision encoder or pixel decoder than preset '{own.model_id}', so its "
                "prompt tokens mean nothing there. Name a teacher of the same sizes; for 'small' it is 'nano'."
            )
        model.vit.load_state_dict(self.loaded.model.vit.state_dict())
        model.sam2.load_state_dict(self.loaded.model.sam2.state_dict())

    @property
    def known_masks(self) -> dict[str, object]:
        """What the metadata say of its masks; it holds for a model with the same prompt tokens and pixel decoder."""
        return {key: value for key, value in self.loaded.metadata.items() if key in OF_MASKS}

    @property
    def known_keys(self) -> frozenset[str]:
        """Vocabulary keys of what it was trained on."""
        metadata = self.loaded.metadata
        return frozenset(key for part in ("trained_on", "findings") for key in metadata.get(part, ()))
