"""Steps in which the mask decoder draws objects on single slices from words, clicks and boxes (stage 3).

Every object has a way of prompting of its own. What is asked for by words, a box or a click is answered; then simulated
clicks correct the answer, up to three times, and the loss is over all answers. Steps with memory are in ``clip``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.config import Sam2Config
from medvlsam2.data import vocabulary
from medvlsam2.data.language import chat
from medvlsam2.data.language.phrases import phrases
from medvlsam2.data.structures.table import Window
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures, SliceMasks, SlicePrompts
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.finding_samples import FINDING_SHARE
from medvlsam2.training.data.samples import draw_request, draw_slices, input_slices, key_shares
from medvlsam2.training.data.simulated_prompts import (
    PromptKind,
    draw_num_corrections,
    draw_points,
    draw_prompt_kind,
)
from medvlsam2.training.data.spatial_augment import draw_move, draw_near_move
from medvlsam2.training.steps.base import Source, Step, StepResult
from medvlsam2.training.steps.pixels.corrections import with_correction
from medvlsam2.training.steps.pixels.losses import MaskLoss, mask_loss
from medvlsam2.training.steps.turns import request_tokens

ABSENT_SHARE = 0.15
"""Share of objects that are asked for and are not in the scan, where it is known what is not in it."""
NEAR_SHARE = 0.3
"""Share of samples in a nearer view, as small structures are segmented in."""
TEXT_CORRECTED_SHARE = 0.4
"""Share of objects asked for in words, on slices that show them, whose answer is then corrected by clicks."""


@dataclass(frozen=True)
class MaskSample:
    """Slices of one scan, and objects on them."""

    slices: Float[Tensor, "n 3 s s"]
    whole: Float[Tensor, "1 d h w"]
    masks: Bool[Tensor, "k n m m"]
    """Truth of object k on slice n; all False where it is absent."""
    phrases: tuple[str, ...]
    """The request for each object, in words."""


@dataclass(frozen=True)
class ObjectStep(Step):
    """Objects that are asked for on slices; a kind says how their masks are prompted and compared."""

    samples: tuple[MaskSample, ...]
    """All with as many slices and objects."""

    def run(self, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator) -> StepResult:
        """Mask losses of all answers, plus the language loss of the requests."""
        tokens, language_loss = sample_tokens(model, tokenizer, self.samples)
        features = model.sam2.encode_slices(torch.cat([sample.slices for sample in self.samples]))
        truth = torch.stack([sample.masks for sample in self.samples])  # b k n m m
        return with_language(self.losses(model, features, tokens, truth, rng), language_loss)

    @property
    def num_samples(self) -> int:
        """Scans."""
        return len(self.samples)

    @abstractmethod
    def losses(
        self,
        model: MedVLSAM2,
        features: SliceFeatures,
        tokens: Float[Tensor, "b k c"],
        truth: Bool[Tensor, "b k n m m"],
        rng: np.random.Generator,
    ) -> MaskLoss:
        """Compare the masks of objects on slices with the truth.

        Args:
            model: the model that is trained.
            features: of all scans' slices.
            tokens: prompt token of each object.
            truth: of object k on slice n of scan b.
            rng: source of every choice.
        """


@dataclass(frozen=True)
class MaskStep(ObjectStep):
    """Some scans, each with some objects on any slices.

    The samples' masks stay in the host's memory, where prompts are drawn from them; targets follow to the device.
    """

    @classmethod
    def draw(cls, source: Source, rng: np.random.Generator) -> MaskStep:
        """Any slices of some cases."""
        config = source.config
        return cls(
            tuple(
                mask_sample(
                    source.draw_case(rng, real_share=config.real_share),
                    rng,
                    num_slices=config.slices_per_case,
                    num_objects=config.objects_per_case,
                    contiguous=False,
                    sam2=source.sam2,
                )
                for _ in range(config.cases_per_step)
            )
        )

    def losses(
        self,
        model: MedVLSAM2,
        features: SliceFeatures,
        tokens: Float[Tensor, "b k c"],
        truth: Bool[Tensor, "b k n m m"],
        rng: np.random.Generator,
    ) -> MaskLoss:
        """Of all answers on all slices."""
        return _slice_losses(model, features, tokens, truth, rng)


def mask_sample(
    case: Case,
    rng: np.random.Generator,
    *,
    num_slices: int,
    num_objects: int,
    contiguous: bool,
    sam2: Sam2Config,
) -> MaskSample:
    """Draw objects and slices of a case.

    Args:
        case: the scan.
        rng: source of every choice.
        num_slices: slices to draw.
        num_objects: objects to draw (with repetition where the case has fewer).
        contiguous: neighbouring slices in order (for memory) instead of any.
        sam2: says what the input channels are.
    """
    chosen = [_draw_object(case, rng) for _ in range(num_objects)]
    windows = [window for _, _, window in chosen]
    window = windows[int(rng.integers(len(windows)))]
    masks = np.stack([mask for _, mask, _ in chosen])
    numbers = draw_slices(masks, rng, num_slices, contiguous=contiguous)
    truth = torch.from_numpy(masks[:, numbers])
    move = draw_near_move(truth, rng) if rng.random() < NEAR_SHARE else draw_move(rng)
    return MaskSample(
        slices=move.image(input_slices(case, numbers, window, rng, sam2=sam2)),
        whole=case.whole_volume(),
        masks=move.masks(truth),
        phrases=tuple(phrase for phrase, _, _ in chosen),
    )


def sample_tokens(
    model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, samples: Sequence[MaskSample]
) -> tuple[Float[Tensor, "b k c"], Float[Tensor, ""]]:
    """Prompt tokens of the words for every object of every sample, and the language loss of the answers."""
    image_tokens = model.encode_volume(torch.stack([sample.whole for sample in samples]))
    tokens, loss = request_tokens(model, tokenizer, image_tokens, [sample.phrases for sample in samples])
    return tokens.reshape(len(samples), -1, tokens.shape[-1]), loss


def sample_prompts(
    kind: PromptKind, target: Bool[Tensor, "p m m"], rng: np.random.Generator, image_size: int, device: torch.device
) -> SlicePrompts:
    """Prompts of one kind for objects on their slices; the same number of clicks for all of them."""
    if kind == "text":
        return SlicePrompts()
    points_xy, point_labels = draw_points(kind, list(target), rng, image_size)
    return SlicePrompts(points_xy=points_xy.to(device), point_labels=point_labels.to(device))


def masks_loss(outputs: Sequence[SliceMasks], targets: Sequence[Bool[Tensor, "_ m m"]]) -> MaskLoss:
    """The loss over several answers of the mask decoder at once."""
    return mask_loss(
        torch.cat([output.mask_logits[:, 0] for output in outputs]).float(),
        torch.cat([output.iou[:, 0] for output in outputs]).float(),
        torch.cat([output.object_score_logits[:, 0] for output in outputs]).float(),
        torch.cat(list(targets)),
    )


def with_language(loss: MaskLoss, language_loss: Float[Tensor, ""]) -> StepResult:
    """The result of a step with masks."""
    parts = {
        "focal": loss.focal.detach(),
        "dice": loss.dice.detach(),
        "balanced": loss.balanced.detach(),
        "iou": loss.iou.detach(),
        "object_score": loss.object_score.detach(),
        "language": language_loss.detach(),
    }
    return StepResult(loss.total + language_loss, parts)


def _draw_object(case: Case, rng: np.random.Generator) -> tuple[str, Bool[np.ndarray, "d m m"], Window]:
    """A request, its truth on every slice, and the window in which it shows."""
    empty = np.zeros(case.labels.shape, dtype=bool)
    if case.facts is not None and rng.random() < ABSENT_SHARE and case.facts.absent:
        key = str(rng.choice(case.facts.absent))
        return draw_request(key, rng), empty, vocabulary.STRUCTURES[key].window
    if case.facts is not None and case.facts.lesions and rng.random() < FINDING_SHARE:
        referring = [p for p in phrases(case.facts, rng) if p.lesion_labels]
        if referring:
            phrase = referring[int(rng.integers(len(referring)))]
            mask = np.isin(case.lesions, phrase.lesion_labels)
            window = _finding_window(case, phrase.lesion_labels)
            return chat.segmentation_questions(phrase.phrase, rng), mask, window
    keys = case.present_keys
    key = keys[int(rng.choice(len(keys), p=key_shares(keys)))]
    truth = case.structure_mask(key)
    assert truth is not None
    return draw_request(key, rng), truth, vocabulary.STRUCTURES[key].window


def _finding_window(case: Case, lesion_labels: Sequence[int]) -> Window:
    """The window of the structure that holds a finding."""
    assert case.facts is not None
    lesion = next(item for item in case.facts.lesions if item.label_value in lesion_labels)
    return vocabulary.STRUCTURES[lesion.structure].window


def _slice_losses(
    model: MedVLSAM2,
    features: SliceFeatures,
    tokens: Float[Tensor, "b k c"],
    truth: Bool[Tensor, "b k n m m"],
    rng: np.random.Generator,
) -> MaskLoss:
    """Every object on every slice by itself; objects that are prompted alike are one batch."""
    slices = truth.shape[2]
    outputs, targets = [], []
    for (kind, everywhere), pairs in _by_prompting(truth, rng).items():
        index = torch.tensor(pairs).T
        target = truth[tuple(index)]
        prompts = sample_prompts(kind, target, rng, model.sam2.image_size, tokens.device)
        index, target = index.to(tokens.device), target.to(tokens.device)
        part = features.select(index[0] * slices + index[2])
        token = tokens[index[0], index[1]] if kind.startswith("text") else None
        corrections = 0 if everywhere else draw_num_corrections(rng)
        found = list(_answers(model, part, prompts, words=token, target=target, corrections=corrections))
        outputs += found
        targets += [target] * len(found)
    return masks_loss(outputs, targets)


def _by_prompting(
    truth: Bool[Tensor, "b k n m m"], rng: np.random.Generator
) -> dict[tuple[PromptKind, bool], list[tuple[int, int, int]]]:
    """Pairs of object and slice (b, k, n) by the way of prompting, and by whether all slices are asked about.

    What is on none of the slices can only be asked for in words. Words are asked on every slice, unless clicks
    correct the answer, as clicks and boxes are: on the slices that show the object.
    """
    batch, count, slices = truth.shape[:3]
    groups: dict[tuple[PromptKind, bool], list[tuple[int, int, int]]] = {}
    for b in range(batch):
        for k in range(count):
            shown: list[bool] = truth[b, k].flatten(1).any(dim=1).tolist()
            kind = draw_prompt_kind(rng) if any(shown) else "text"
            everywhere = kind == "text" and not (any(shown) and rng.random() < TEXT_CORRECTED_SHARE)
            pairs = [(b, k, n) for n in range(slices) if everywhere or shown[n]]
            groups.setdefault((kind, everywhere), []).extend(pairs)
    return groups


def _answers(
    model: MedVLSAM2,
    part: SliceFeatures,
    prompts: SlicePrompts,
    *,
    words: Float[Tensor, "p c"] | None,
    target: Bool[Tensor, "p m m"],
    corrections: int,
) -> Iterator[SliceMasks]:
    """The first answer, and one after each click that corrects the answer before."""
    sam2 = model.sam2
    for number in range(corrections + 1):
        token = sam2.visual_token(part, prompts) if words is None else words
        masks = sam2.predict(sam2.without_memory(part), part, prompts, token, multimask=False)
        yield masks
        if number < corrections:
            prompts = with_correction(prompts, masks.mask_logits[:, 0] > 0, target, sam2.image_size)
