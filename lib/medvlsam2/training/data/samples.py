"""What one training step sees: objects with their words, clicks and boxes, and conversations about a scan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medvlsam2.config import Sam2Config
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language import anatomy, chat
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.data.language.measurements import as_measured, corrupted, measured_text
from medvlsam2.data.language.phrases import phrases
from medvlsam2.data.language.reporting.reports import report
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.finding_samples import draw_findings, finding_windows
from medvlsam2.training.data.intensity_augment import augment
from medvlsam2.training.data.simulated_prompts import Pointed, PromptKind, draw_pointed
from medvlsam2.training.data.spatial_augment import draw_move, draw_near_move, window_part
from medvlsam2.transforms.prepare import three_channels
from medvlsam2.transforms.text import Conversation
from medvlsam2.transforms.window import Window

ABSENT_SHARE = 0.15
"""Share of objects that are asked for and not there."""
MAX_ABSENT = 4
"""Structures of a dense sample that are not in the scan."""
FINDING_SHARE = 0.3
"""Share of findings among the objects of a scan that has some, and of dense samples in the window of one."""
COMMON = frozenset(
    (
        *(
            "liver",
            "spleen",
            "kidney_left",
            "kidney_right",
            "kidneys",
            "aorta",
            "stomach",
            "pancreas",
            "urinary_bladder",
        ),
        *("lung_left", "lung_right", "lungs", "heart", "spinal_cord", "hip_left", "hip_right", "vertebrae"),
        *("ribs", "femur_left", "femur_right", "gallbladder", "colon", "inferior_vena_cava", "trachea", "sacrum"),
        *("brainstem", "parotid_gland_left", "parotid_gland_right", "esophagus", "larynx", "mandible"),
        *("soft_tissue_sarcoma", "lung_tumor"),
    )
)
"""What annotators ask for most; drawn most often."""
OTHER_WEIGHT = 0.2
NUMBERED_WEIGHT = 0.03
"""Single ribs and vertebrae are drawn least often, since there are 50 of them."""
_NUMBERED = re.compile(r"rib_|vertebrae_")
COMMON_WHOLE_SHARE = 0.5
"""How often the parts of a common whole (the vertebrae) come as that whole in a dense sample."""
WHOLE_SHARE = 0.1
"""The same for other wholes."""
POINTED_KINDS: tuple[PromptKind, ...] = ("box", "click")
"""Ways in which structures of a dense sample are also pointed at."""
NEAR_SHARE = 0.3
"""Share of samples for the mask decoder that look nearer."""


@dataclass(frozen=True)
class SegmentationSample:
    """Slices of one scan, and objects on them."""

    slices: Float[Tensor, "n 3 s s"]
    whole: Float[Tensor, "1 d h w"]
    masks: Bool[Tensor, "k n m m"]
    """Truth of object k on slice n; all False where it is absent."""
    phrases: tuple[str, ...]
    """The request for each object, in words."""


@dataclass(frozen=True)
class DenseSample:
    """Slices of one scan with the labels of many structures at once."""

    slices: Float[Tensor, "n 3 s s"]
    whole: Float[Tensor, "1 d h w"]
    label_map: Int[Tensor, "n m m"]
    """0 none of them, value k the k-th request's structure; the last requests may be for what is not in the scan."""
    phrases: tuple[str, ...]
    findings: Bool[Tensor, "f n m m"]
    """Findings that lie in or over structures; all False where one is not in the scan."""
    finding_phrases: tuple[str, ...]
    pointed: tuple[Pointed, ...]
    """Some of the structures clicked, and some boxed; none where only a window is shown, whose places are others."""


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
    window = _dense_window(case, list(groups), rng)
    alike = [key for key in groups if vocabulary.STRUCTURES[key].window == window]
    keys = draw_keys(alike, rng, num_structures)
    size = len(keys)
    table = np.zeros(len(case.keys) + 1, dtype=np.int64)
    for number, key in enumerate(keys, start=1):
        table[list(groups[key])] = number
    values = table[case.labels]
    found = draw_findings(case, window, rng)
    candidates = [values > 0, *(mask for _, mask in found if mask.any())]
    numbers = _draw_slices(np.stack(candidates), rng, num_slices, contiguous=False)
    one_hot = [values[numbers] == number for number in range(1, size + 1)]
    masks = torch.from_numpy(np.stack([*one_hot, *(mask[numbers] for _, mask in found)]))
    move = draw_near_move(masks, rng, part=window_part(sam2.image_size)) if near else draw_move(rng)
    moved = move.masks(masks)
    order = torch.arange(1, size + 1).view(-1, 1, 1, 1)
    label_map = (moved[:size] * order).amax(dim=0)
    pointed = [] if near else [draw_pointed(kind, label_map, rng, sam2.image_size) for kind in POINTED_KINDS]
    return DenseSample(
        slices=move.image(_input_slices(case, numbers, window, rng, sam2=sam2)),
        whole=torch.from_numpy(np.array(case.whole, dtype=np.float32)),
        label_map=label_map,
        phrases=tuple(_request(key, rng) for key in (*keys, *_absent_keys(case, window, rng))),
        findings=moved[size:],
        finding_phrases=tuple(_request(key, rng) for key, _ in found),
        pointed=tuple(one for one in pointed if one is not None),
    )


def segmentation_sample(
    case: Case,
    rng: np.random.Generator,
    *,
    num_slices: int,
    num_objects: int,
    contiguous: bool,
    sam2: Sam2Config,
) -> SegmentationSample:
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
    window = _draw_window(chosen, rng)
    masks = np.stack([mask for _, mask, _ in chosen])
    numbers = _draw_slices(masks, rng, num_slices, contiguous=contiguous)
    truth = torch.from_numpy(masks[:, numbers])
    move = draw_near_move(truth, rng) if rng.random() < NEAR_SHARE else draw_move(rng)
    return SegmentationSample(
        slices=move.image(_input_slices(case, numbers, window, rng, sam2=sam2)),
        whole=torch.from_numpy(np.array(case.whole, dtype=np.float32)),
        masks=move.masks(truth),
        phrases=tuple(phrase for phrase, _, _ in chosen),
    )


@dataclass(frozen=True)
class Talk:
    """Conversations about one scan."""

    conversations: tuple[Conversation, ...]
    measured: str | None
    """What masks of the scan measure, in words that stand before every question; None: nothing stands there."""


def talk(facts: ScanFacts, rng: np.random.Generator, count: int, *, measured_share: float) -> Talk | None:
    """Questions about a scan whose answers its facts prove; one of them asks for a report where all is known.

    Args:
        facts: what is known of the scan.
        rng: source of every choice.
        count: at most so many questions.
        measured_share: how often they come after what an imperfect model measures; answers then tell those sizes.

    Returns:
        None where too little is known of the scan.
    """
    measured = None
    if rng.random() < measured_share:
        seen = corrupted(facts, rng)
        facts, measured = as_measured(facts, seen), measured_text(seen)
    found = [
        Conversation(chat.answer_question(item.question, item.choices, item.kind), item.answer)
        for item in questions(facts, rng)
    ]
    order = rng.permutation(len(found))[: max(count - 1, 0)]
    chosen = [found[int(i)] for i in order]
    if facts.lesions_known:
        chosen.append(Conversation(chat.report_question(), report(facts, rng).text))
    return Talk(tuple(chosen), measured) if chosen else None


def paired_requests(case: Case, rng: np.random.Generator, count: int) -> list[str]:
    """Two wordings each for some of a case's structures, their mirror images among them, since sides are hardest."""
    drawn = draw_keys(case.present_keys, rng, count)
    keys = list(dict.fromkeys(key for one in drawn for key in (one, vocabulary.mirror(one))))[:count]
    return [_request(key, rng) for key in keys for _ in range(2)]


def _draw_object(case: Case, rng: np.random.Generator) -> tuple[str, Bool[np.ndarray, "d m m"], Window]:
    """A request, its truth on every slice, and the window in which it shows."""
    empty = np.zeros(case.labels.shape, dtype=bool)
    if case.facts is not None and rng.random() < ABSENT_SHARE and case.facts.absent:
        key = str(rng.choice(case.facts.absent))
        return _request(key, rng), empty, vocabulary.STRUCTURES[key].window
    if case.facts is not None and case.facts.lesions and rng.random() < FINDING_SHARE:
        referring = [p for p in phrases(case.facts, rng) if p.lesion_labels]
        if referring:
            phrase = referring[int(rng.integers(len(referring)))]
            mask = np.isin(case.lesions, phrase.lesion_labels)
            window = _finding_window(case, phrase.lesion_labels)
            return chat.segmentation_questions(phrase.phrase, rng), mask, window
    keys = case.present_keys
    key = keys[int(rng.choice(len(keys), p=_shares(keys)))]
    truth = case.structure_mask(key)
    assert truth is not None
    return _request(key, rng), truth, vocabulary.STRUCTURES[key].window


def label_groups(case: Case, rng: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """Label values of each structure that is there; some wholes stand in place of their parts."""
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


def _dense_window(case: Case, present: Sequence[str], rng: np.random.Generator) -> Window:
    """The window of a structure that is drawn, or of a finding."""
    shown = {vocabulary.STRUCTURES[key].window for key in present}
    of_findings = [window for window in finding_windows(case) if window in shown]
    if of_findings and rng.random() < FINDING_SHARE:
        return of_findings[int(rng.integers(len(of_findings)))]
    return vocabulary.STRUCTURES[present[int(rng.choice(len(present), p=_shares(present)))]].window


def _absent_keys(case: Case, window: Window, rng: np.random.Generator) -> list[str]:
    """Some structures that are known not to be in the scan and would show in a window."""
    absent = [] if case.facts is None else [k for k in case.facts.absent if vocabulary.STRUCTURES[k].window == window]
    if not absent:
        return []
    return draw_keys(absent, rng, MAX_ABSENT)


def draw_keys(keys: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """At most so many of some structures, those that annotators ask for most more often."""
    return [str(key) for key in rng.choice(keys, min(count, len(keys)), replace=False, p=_shares(keys))]


def _shares(keys: Sequence[str]) -> Float[np.ndarray, " n"]:
    weights = np.array([_weight(key) for key in keys])
    return weights / weights.sum()


def _weight(key: str) -> float:
    if key in COMMON:
        return 1.0
    return NUMBERED_WEIGHT if _NUMBERED.match(key) else OTHER_WEIGHT


def _request(key: str, rng: np.random.Generator) -> str:
    structure = vocabulary.STRUCTURES[key]
    names = (structure.name, *structure.synonyms)
    name = structure.name if rng.random() < 0.7 else str(names[int(rng.integers(len(names)))])
    return chat.segmentation_questions(name, rng)


def _finding_window(case: Case, lesion_labels: Sequence[int]) -> Window:
    assert case.facts is not None
    lesion = next(item for item in case.facts.lesions if item.label_value in lesion_labels)
    return vocabulary.STRUCTURES[lesion.structure].window


def _draw_window(chosen: Sequence[tuple[str, Bool[np.ndarray, "d m m"], Window]], rng: np.random.Generator) -> Window:
    windows = [window for _, _, window in chosen]
    return windows[int(rng.integers(len(windows)))]


def _draw_slices(
    masks: Bool[np.ndarray, "k d m m"], rng: np.random.Generator, count: int, *, contiguous: bool
) -> Int[np.ndarray, " n"]:
    depth = masks.shape[1]
    present = masks.any(axis=(2, 3))
    candidates = np.flatnonzero(present[int(rng.integers(len(masks)))])
    centre = int(rng.choice(candidates)) if len(candidates) else int(rng.integers(depth))
    if contiguous:
        step = int(rng.choice((-2, -1, -1, 1, 1, 2)))
        return np.clip(centre + step * np.arange(count), 0, depth - 1)
    any_present = np.flatnonzero(present.any(axis=0))
    others = [
        int(rng.choice(any_present)) if len(any_present) and rng.random() < 0.75 else int(rng.integers(depth))
        for _ in range(count - 1)
    ]
    return np.array([centre, *others])


def _input_slices(
    case: Case,
    numbers: Int[np.ndarray, " n"],
    window: Window,
    rng: np.random.Generator,
    *,
    sam2: Sam2Config,
) -> Float[Tensor, "n 3 s s"]:
    return three_channels(augment(case.channels_hu(numbers, sam2), rng), window)
