"""Dice of structures asked for by name, on the mask grid and without memory: quick, for gates and progress.

Figures of model cards come from ``medvlsam2.evaluation``, which measures the masks that a server returns, on the scan's
own grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from medvlsam2.data import vocabulary
from medvlsam2.data.overlap import dice
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.propagation.word_seeds import masks_without_memory
from medvlsam2.training.data.cases import Case
from medvlsam2.transforms.prepare import three_channels
from medvlsam2.transforms.slice_choice import evenly_spaced
from medvlsam2.transforms.text import prefix_ids, segmentation_turns

MAX_SLICES = 24
MAX_STRUCTURES = 8


@torch.no_grad()
def text_dice(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], max_structures: int = MAX_STRUCTURES
) -> dict[str, float]:
    """Dice of each structure asked for by name, averaged over cases; slices are decoded without memory.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        cases: scans with labels; up to 24 slices of each are looked at.
        max_structures: at most so many structures of each scan are asked for.
    """
    scores: dict[str, list[float]] = {}
    for case in cases:
        keys = [key for key in case.keys if key in case.present_keys][:max_structures]
        for key, score in zip(keys, _case_dice(model, tokenizer, case, keys), strict=True):
            scores.setdefault(key, []).append(score)
    return {key: float(np.mean(values)) for key, values in scores.items()}


def _case_dice(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, case: Case, keys: Sequence[str]) -> list[float]:
    device = next(model.parameters()).device
    numbers = np.array(evenly_spaced(case.num_slices, MAX_SLICES))
    hu = case.channels_hu(numbers, model.config.sam2)
    prefix = model.language.prefill(
        prefix_ids(tokenizer, model.config.projector.num_tokens).to(device),
        model.encode_volume(case.whole_volume()[None].to(device)),
    )
    requests = segmentation_turns(tokenizer, [vocabulary.STRUCTURES[key].name for key in keys])
    tokens = model.request_tokens(prefix, *(part.to(device) for part in requests))
    found = []
    for key, token in zip(keys, tokens, strict=True):
        features = model.sam2.encode_slices(three_channels(hu, vocabulary.STRUCTURES[key].window).to(device))
        masks = masks_without_memory(model.sam2, features, token[None], list(range(len(numbers))))[0]
        truth = case.structure_mask(key)
        assert truth is not None
        found.append(dice((masks.gated_logits()[:, 0] > 0).cpu().numpy(), truth[numbers]))
    return found
