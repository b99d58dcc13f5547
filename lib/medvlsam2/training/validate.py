"""Dice of structures asked for by name, on the mask grid and without memory: quick, for gates and progress.

Figures of model cards come from ``medvlsam2.evaluation``, which measures the masks that a server returns, on the scan's
own grid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.overlap import dice
from medvlsam2.model.device.precision import autocast
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.propagation.word_seeds import masks_without_memory
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.task_pairs import held_out_pairs
from medvlsam2.training.steps.distil import relative_error, student_tokens
from medvlsam2.training.steps.tasks import answer
from medvlsam2.training.teacher import Teacher
from medvlsam2.transforms.prepare import three_channels
from medvlsam2.transforms.slice_choice import evenly_spaced
from medvlsam2.transforms.text import TokenPair, encode_pairs, prefix_ids, segmentation_turns

MAX_SLICES = 24
MAX_STRUCTURES = 8
HELD_OUT_PAIRS = 320
"""Prompts of all text tasks in a validation; the standard error of a share of 0.9 is 0.017."""
PAIRS_AT_ONCE = 40
"""Prompts that are read at once; those of similar length are read together."""
ERROR = "error_of_tokens"
TAUGHT_SCANS = 3
"""Scans on which prompt tokens are compared with the teacher's: they depend on the scan only little."""


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


def score_of_words(
    tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], teacher: Teacher, log: Path
) -> Callable[[MedVLSAM2], float]:
    """A score of stage 4: the mean of right answers to held-out prompts, and of names whose token is the teacher's.

    Args:
        tokenizer: the model's.
        cases: scans that are not trained on.
        teacher: the model whose prompt tokens are learnt.
        log: file to which every validation adds its parts as a line of JSON.
    """
    held_out = {task: encode_pairs(tokenizer, pairs) for task, pairs in held_out_pairs(HELD_OUT_PAIRS).items()}

    def score(model: MedVLSAM2) -> float:
        with autocast(next(model.parameters()).device):
            parts = {task: exact_share(model, tokenizer, pairs) for task, pairs in held_out.items()}
            parts |= taught_names(model, tokenizer, cases[:TAUGHT_SCANS], teacher)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({name: round(value, 4) for name, value in parts.items()}) + "\n")
        return float(np.mean([value for name, value in parts.items() if name != ERROR]))

    return score


@torch.no_grad()
def exact_share(model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[TokenPair]) -> float:
    """Share of prompts that the model, writing greedily, answers exactly as wanted."""
    by_length = sorted(pairs, key=len)
    parts = [by_length[first : first + PAIRS_AT_ONCE] for first in range(0, len(by_length), PAIRS_AT_ONCE)]
    return float(torch.cat([answer(model, tokenizer, part).exact for part in parts]).float().mean())


@torch.no_grad()
def taught_names(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], teacher: Teacher
) -> dict[str, float]:
    """How near the prompt tokens of the teacher's names are to the teacher's own.

    Returns:
        The share of names whose token is nearer to the teacher's token of that name than to any other name's, and the
        squared distance as a part of the variance.
    """
    names = [vocabulary.STRUCTURES[key].name for key in vocabulary.STRUCTURES if key in teacher.known_keys]
    questions = tuple(chat.segmentation_question(name) for name in names)
    nearest, errors = [], []
    for case in cases:
        targets = teacher.tokens(case.whole_volume(), questions)
        tokens = student_tokens(model, tokenizer, case.whole_volume(), questions).float().cpu()
        found = torch.cdist(tokens, targets).argmin(dim=1)
        nearest.append(float((found == torch.arange(len(names))).float().mean()))
        errors.append(float(relative_error(tokens, targets)))
    return {"names": float(np.mean(nearest)), ERROR: float(np.mean(errors))}
