"""Steps that compare many structures with every pixel, without the mask decoder (stage 3).

Such a step compares some hundred pairs of structure and slice, where the mask decoder affords some dozen. So the
image encoder and the prompt tokens learn to meet. Tokens come from words and, where the model has visual tokens, from
clicks and boxes. Only models with the similarity term take these steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from medvlsam2.config import Sam2Config
from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.structures.table import Window
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity, evidence
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SlicePrompts
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.finding_samples import FINDING_SHARE, draw_findings, finding_windows
from medvlsam2.training.data.samples import (
    COMMON,
    draw_keys,
    draw_request,
    draw_slices,
    input_slices,
    key_shares,
)
from medvlsam2.training.data.simulated_prompts import Pointed, PromptKind, draw_pointed
from medvlsam2.training.data.spatial_augment import draw_move, draw_near_move, window_part
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.pixels.losses import dense_loss, finding_loss
from medvlsam2.training.steps.turns import request_tokens

MAX_ABSENT = 4
"""Structures of a sample that are asked for and known not to be in the scan."""
COMMON_WHOLE_SHARE = 0.5
"""How often the parts of a common whole (the vertebrae) come as that whole."""
WHOLE_SHARE = 0.1
"""The same for other wholes."""
POINTED_KINDS: tuple[PromptKind, ...] = ("box", "click")
"""Ways in which structures of a sample are also pointed at."""


@dataclass(frozen=True)
class DenseSample:
    """Slices of one scan with the labels of many structures at once."""

    slices: Float[Tensor, "n 3 s s"]
    whole: Float[Tensor, "1 d h w"]
    label_map: Int[Tensor, "n m m"]
    """0: none of the structures; k: the structure of the k-th request. The last requests may be for absent ones."""
    phrases: tuple[str, ...]
    findings: Bool[Tensor, "f n m m"]
    """Findings that lie in or over structures; all False where one is not in the scan."""
    finding_phrases: tuple[str, ...]
    pointed: tuple[Pointed, ...]
    """Some of the structures clicked, and some boxed. Empty for a window of the slices, whose positions differ."""


@dataclass(frozen=True)
class DenseStep(Step):
    """Some scans, each with many structures on some slices."""

    samples: tuple[DenseSample, ...]
    """Each has as many slices, of the same size."""

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> DenseStep:
        """Slices of some cases, or, for trunks that take any size, windows of slices."""
        config = source.config
        near = source.sam2.trunk == "conv" and bool(rng.random() < config.window_share)
        return cls(
            tuple(
                dense_sample(
                    source.draw_case(rng, real_share=config.real_share),
                    rng,
                    num_slices=config.slices_per_dense,
                    num_structures=config.structures_per_dense,
                    sam2=source.sam2,
                    near=near,
                )
                for _ in range(config.cases_per_step)
            )
        )

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Dense, presence and finding losses of words, the dense loss of clicks and boxes, and the language loss."""
        samples = self.samples
        features = model.sam2.encode_slices(torch.cat([sample.slices for sample in samples]))
        image_tokens = model.encode_volume(torch.stack([sample.whole for sample in samples]))
        phrases = [(*sample.phrases, *sample.finding_phrases) for sample in samples]
        words, language_loss = request_tokens(model, tokenizer, image_tokens, phrases)
        counts = [len(asked) for asked in phrases]
        similarity = _similarity(model, features, torch.split(words, counts))
        label_map = torch.stack([sample.label_map for sample in samples]).to(words.device)
        losses = _word_losses(model, similarity, samples, label_map)
        values = 1 + max(len(sample.phrases) for sample in samples)
        ways = [] if model.sam2.visual_tokens is None else _by_way(samples)
        if visual := [_pointed_loss(model, features, each, label_map, values=values) for each in ways]:
            losses["visual"] = torch.stack(visual).mean()
        losses["language"] = language_loss
        parts = {name: loss.detach() for name, loss in losses.items()}
        return StepResult(torch.stack(list(losses.values())).sum(), parts)

    @property
    def num_samples(self) -> int:
        """Scans."""
        return len(self.samples)


def dense_sample(
    case: Case, rng: np.random.Generator, *, num_slices: int, num_structures: int, sam2: Sam2Config, near: bool = False
) -> DenseSample:
    """Draw slices of a case with many of its structures and its findings, all of one window.

    Args:
        case: the scan.
        rng: source of every choice.
        num_slices: slices to draw.
        num_structures: at most so many structures.
        sam2: says what the input channels are.
        near: whether only a window of the slices is shown, near one of the structures.
    """
    groups = label_groups(case, rng)
    window = _draw_window(case, list(groups), rng)
    alike = [key for key in groups if vocabulary.STRUCTURES[key].window == window]
    keys = draw_keys(alike, rng, num_structures)
    size = len(keys)
    table = np.zeros(len(case.keys) + 1, dtype=np.int64)
    for number, key in enumerate(keys, start=1):
        table[list(groups[key])] = number
    values = table[case.labels]
    found = draw_findings(case, window, rng)
    candidates = [values > 0, *(mask for _, mask in found if mask.any())]
    numbers = draw_slices(np.stack(candidates), rng, num_slices, contiguous=False)
    one_hot = [values[numbers] == number for number in range(1, size + 1)]
    masks = torch.from_numpy(np.stack([*one_hot, *(mask[numbers] for _, mask in found)]))
    move = draw_near_move(masks, rng, part=window_part(sam2.image_size)) if near else draw_move(rng)
    moved = move.masks(masks)
    order = torch.arange(1, size + 1).view(-1, 1, 1, 1)
    label_map = (moved[:size] * order).amax(dim=0)
    pointed = [] if near else [draw_pointed(kind, label_map, rng, sam2.image_size) for kind in POINTED_KINDS]
    return DenseSample(
        slices=move.image(input_slices(case, numbers, window, rng, sam2=sam2)),
        whole=case.whole_volume(),
        label_map=label_map,
        phrases=tuple(draw_request(key, rng) for key in (*keys, *_absent_keys(case, window, rng))),
        findings=moved[size:],
        finding_phrases=tuple(draw_request(key, rng) for key, _ in found),
        pointed=tuple(one for one in pointed if one is not None),
    )


def label_groups(case: Case, rng: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """Label values of each structure in a case; some wholes stand in place of their parts."""
    present = set(case.present_keys)
    groups: dict[str, tuple[int, ...]] = {
        key: (value,) for value, key in enumerate(case.keys, start=1) if key in present
    }
    wholes = sorted(present - set(case.keys))
    for whole in (wholes[int(number)] for number in rng.permutation(len(wholes))):
        parts = sorted(anatomy.leaves(whole) & present & set(case.keys))
        share = COMMON_WHOLE_SHARE if whole in COMMON else WHOLE_SHARE
        if rng.random() < share and all(part in groups for part in parts):
            groups[whole] = tuple(value for part in parts for value in groups.pop(part))
    return groups


def _draw_window(case: Case, present: Sequence[str], rng: np.random.Generator) -> Window:
    """The window of one of the structures, or of a finding."""
    shown = {vocabulary.STRUCTURES[key].window for key in present}
    of_findings = [window for window in finding_windows(case) if window in shown]
    if of_findings and rng.random() < FINDING_SHARE:
        return of_findings[int(rng.integers(len(of_findings)))]
    return vocabulary.STRUCTURES[present[int(rng.choice(len(present), p=key_shares(present)))]].window


def _absent_keys(case: Case, window: Window, rng: np.random.Generator) -> list[str]:
    """Some structures that are known not to be in the scan and would show in a window."""
    absent = [] if case.facts is None else [k for k in case.facts.absent if vocabulary.STRUCTURES[k].window == window]
    return draw_keys(absent, rng, MAX_ABSENT) if absent else []


def _word_losses(
    model: MedVLSAM2,
    similarity: Float[Tensor, "b n k m m"],
    samples: Sequence[DenseSample],
    label_map: Int[Tensor, "b n m m"],
) -> dict[str, Float[Tensor, ""]]:
    """Losses of the requests in words: structures together, findings one by one, and the presence of both."""
    term = _term(model)
    device = similarity.device
    structures = [len(sample.phrases) for sample in samples]
    counts = [len(sample.phrases) + len(sample.finding_phrases) for sample in samples]
    losses = {"dense": dense_loss(_first_of_each(similarity, structures) + term.mask_bias, label_map)}
    present = torch.zeros(*similarity.shape[:2], similarity.shape[2] + 1, dtype=torch.bool, device=device)
    present = present.scatter_(2, label_map.flatten(2), True)[:, :, 1:]  # b n k: without the background
    if found := [(b, q) for b in range(len(samples)) for q in range(structures[b], counts[b])]:
        b, q = torch.tensor(found, device=device).T
        truth = torch.cat([sample.findings for sample in samples]).to(device)  # f n m m
        losses["finding"] = finding_loss(similarity.transpose(1, 2)[b, q] + term.mask_bias, truth)
        present[b, :, q] = truth.flatten(2).any(dim=2)
    losses["presence"] = _presence_loss(model, _first_of_each(similarity, counts), present)
    return losses


def _term(model: MedVLSAM2) -> TextSimilarity:
    assert model.sam2.text_similarity is not None
    return model.sam2.text_similarity


def _similarity(
    model: MedVLSAM2, features: SliceFeatures, tokens: Sequence[Float[Tensor, "_ c"]]
) -> Float[Tensor, "b n k m m"]:
    """Similarity of each scan's tokens with its slices; a scan with fewer tokens has padding after them."""
    return _term(model).of_each(pad_sequence(list(tokens), batch_first=True), features.levels).float()


def _first_of_each(similarity: Float[Tensor, "b n k m m"], counts: Sequence[int]) -> Float[Tensor, "b n most m m"]:
    """The first so many of each scan, minus infinity after them."""
    most = max(counts)
    beyond = torch.arange(most) >= torch.tensor(counts)[:, None]
    return similarity[:, :, :most].masked_fill(beyond[:, None, :, None, None].to(similarity.device), -torch.inf)


def _presence_loss(
    model: MedVLSAM2, similarity: Float[Tensor, "b n k m m"], present: Bool[Tensor, "b n k"]
) -> Float[Tensor, ""]:
    """Whether each slice shows what was asked for, by the evidence of its most similar pixels."""
    asked = ~similarity[..., 0, 0].isinf()
    votes = evidence(similarity.flatten(0, 2)[:, None])[:, 0].reshape(present.shape) + _term(model).score_bias
    wrong = F.binary_cross_entropy_with_logits(votes.masked_fill(~asked, 0.0), present.float(), reduction="none")
    return (wrong * asked).sum() / asked.sum()


def _by_way(samples: Sequence[DenseSample]) -> list[list[Pointed | None]]:
    """For each way of pointing: what is pointed at in each scan."""
    most = max(len(sample.pointed) for sample in samples)
    return [[sample.pointed[way] if way < len(sample.pointed) else None for sample in samples] for way in range(most)]


def _pointed_loss(
    model: MedVLSAM2,
    features: SliceFeatures,
    pointed: Sequence[Pointed | None],
    label_map: Int[Tensor, "b n m m"],
    *,
    values: int,
) -> Float[Tensor, ""]:
    """The dense loss of visual tokens: of structures that are clicked or boxed on one of the slices.

    Args:
        model: with visual tokens.
        features: of all scans' slices, one scan after the other.
        pointed: what is clicked or boxed in each scan; None: nothing.
        label_map: of all scans.
        values: number of values in the label maps, 0 included.
    """
    device, slices = label_map.device, label_map.shape[1]
    given = [(row, one) for row, one in enumerate(pointed) if one is not None]
    rows = [row for row, _ in given]
    index = torch.cat([row * slices + one.slice_index for row, one in given]).to(device)
    tokens = model.sam2.visual_token(features.select(index), _as_batch([one for _, one in given], device))
    assert tokens is not None
    counts = [len(one.numbers) for _, one in given]
    every = torch.split(tokens, counts)
    tokens_of = [every[rows.index(row)] if row in rows else tokens[:0] for row in range(len(pointed))]
    similarity = _first_of_each(_similarity(model, features, tokens_of), [len(each) for each in tokens_of])
    # Renumber the label maps in the order of the tokens; what nothing points at becomes background.
    order = torch.zeros(len(pointed), values, dtype=torch.long)
    for row, one in given:
        order[row, one.numbers] = torch.arange(1, len(one.numbers) + 1)
    prompted = order.to(device).gather(1, label_map.flatten(1)).reshape(label_map.shape)
    return dense_loss(similarity[rows] + _term(model).mask_bias, prompted[rows])


def _as_batch(pointed: Sequence[Pointed], device: torch.device) -> SlicePrompts:
    """Clicks and boxes of several scans; SAM 2 ignores points with the label -1, which fill the shorter rows."""
    most = max(one.point_labels.shape[1] for one in pointed)
    points = torch.cat([F.pad(one.points_xy, (0, 0, 0, most - one.points_xy.shape[1])) for one in pointed])
    labels = torch.cat([F.pad(one.point_labels, (0, most - one.point_labels.shape[1]), value=-1) for one in pointed])
    return SlicePrompts(points_xy=points.to(device), point_labels=labels.to(device))
