"""What masks of the known structures measure: the facts that stand before questions in the language model's prompt.

The masks are the quick ones: the similarity of each name's [SEG] token to every pixel, without mask decoder and
memory, on the model's own mask grid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.structures.table import Window
from medvlsam2.model.pixel_decoder.text_similarity import TextSimilarity, evidence
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.model.propagation.slice_source import SliceSource
from medvlsam2.tasks.measure.body_axis import Extent, ScanRange, extent_of, fit
from medvlsam2.tasks.measure.masks.mask_measures import CUT_SHARE
from medvlsam2.tasks.measure.regions import SeenVolume, likeliest_region
from medvlsam2.tasks.scheduling.device_lock import GiveWay, stay

MARGIN: Final = 0.5
"""How far above a mask's threshold a pixel's similarity must be: a measurement that is believed must be sure."""
MIN_ML: Final = 1.0
"""A structure of which no connected part is this large counts as not seen."""
BATCH: Final = 16
"""Slices that are compared at once."""


@dataclass(frozen=True)
class QuickLook:
    """What quick masks show."""

    region: Region
    """Part of the body."""
    keys: frozenset[str]
    """Structures that were seen and that the scan can show, if only at its ends."""
    scan_range: ScanRange | None = None
    """The part of the body axis that the scan covers; None if what is seen does not tell it."""


@dataclass(frozen=True)
class Measured:
    """What was seen of the structures of a scan."""

    facts: ScanFacts
    masks: dict[str, Bool[np.ndarray, "d m m"]]
    """Mask of each structure that the facts name, on the model's mask grid."""
    look: QuickLook


def measurable(keys: Sequence[str]) -> list[str]:
    """Those structures that are measured: no findings, and no wholes whose parts are measured.

    A lung is a whole of lobes, which few scans have labels of: without them it is measured itself.
    """
    known = [vocabulary.STRUCTURES[key] for key in keys if key in vocabulary.STRUCTURES]
    return [structure.key for structure in known if not structure.is_finding and _is_undivided(structure, keys)]


def _is_undivided(structure: vocabulary.Structure, keys: Sequence[str]) -> bool:
    """Whether it has no parts, or only such as are none of the keys and have no parts themselves."""
    return not any(part in keys or vocabulary.STRUCTURES[part].parts for part in structure.parts)


@torch.no_grad()
def measure_structures(
    similarity: TextSimilarity,
    tokens: Mapping[str, Float[Tensor, " c"]],
    features_of: Callable[[Window], SliceSource],
    voxel_ml: float,
    *,
    slice_mm: float,
    give_way: GiveWay = stay,
) -> Measured | None:
    """Structures that are seen, by their names, without those that the scan cannot show; None if none is.

    Args:
        similarity: the model's comparison of words with pixels.
        tokens: [SEG] token of each structure (vocabulary key).
        features_of: slice features of the scan in a window.
        voxel_ml: volume of a pixel of the mask grid on one slice.
        slice_mm: distance of neighbouring slices, which are stacked from the feet towards the head.
        give_way: called between steps.
    """
    by_window: dict[Window, list[str]] = defaultdict(list)
    for key in tokens:
        by_window[vocabulary.STRUCTURES[key].window].append(key)
    volumes_ml: dict[str, float] = {}
    masks: dict[str, np.ndarray] = {}
    spans: dict[str, Extent] = {}
    count = 0
    for window, keys in by_window.items():
        labels = _label_slices(similarity, torch.stack([tokens[key] for key in keys]), features_of(window), give_way)
        for number, key in enumerate(keys, start=1):
            mask = labels == number
            part = _largest_part(mask)
            areas = part.sum(axis=(1, 2))
            extent = extent_of(areas, slice_mm)
            if extent is not None and areas.sum() * voxel_ml >= MIN_ML:
                volumes_ml[key], masks[key], spans[key] = float(areas.sum() * voxel_ml), mask, extent
                count = len(areas)
    if not volumes_ml:
        return None
    scan_range = fit(spans, count * slice_mm)
    if scan_range is None:
        region = likeliest_region({key: SeenVolume(ml, _reaches_an_end(masks[key])) for key, ml in volumes_ml.items()})
    else:
        region = scan_range.region()
    seen = {key: volume for key, volume in volumes_ml.items() if anatomy.is_covered(key, region)}
    facts = ScanFacts(region=region, volumes_ml=seen, absent=tuple(key for key in tokens if key not in seen))
    shown = frozenset(key for key in volumes_ml if _may_be_seen(key, region, scan_range))
    return Measured(facts, {key: masks[key] for key in seen}, QuickLook(region, shown, scan_range))


def _may_be_seen(key: str, region: Region, scan_range: ScanRange | None) -> bool:
    """Whether a scan may show something of a structure."""
    place = None if scan_range is None else scan_range.place_of(key)
    return key not in anatomy.outside(region) if place is None else place != "outside"


def _reaches_an_end(mask: Bool[np.ndarray, "d m m"]) -> bool:
    """Whether it covers on the first or last slice a good part of its largest slice."""
    areas = mask.sum(axis=(1, 2))
    return bool(max(areas[0], areas[-1]) >= CUT_SHARE * areas.max())


def sure_slices(
    similarity: TextSimilarity, tokens: Float[Tensor, "k c"], features: SliceSource, give_way: GiveWay = stay
) -> Iterator[Float[Tensor, "n k m m"]]:
    """Logits of quick masks, some slices at a time: positive where a pixel surely is what a token means.

    Args:
        similarity: the model's comparison of words with pixels.
        tokens: [SEG] tokens.
        features: slice features of the scan.
        give_way: called between steps.
    """
    for start in range(0, len(features), BATCH):
        give_way()
        part = features.select(torch.arange(start, min(start + BATCH, len(features)), device=tokens.device))
        yield sure_masks(similarity, tokens, part)


def sure_masks(
    similarity: TextSimilarity, tokens: Float[Tensor, "k c"], part: SliceFeatures
) -> Float[Tensor, "n k m m"]:
    """Logits of quick masks, as :func:`sure_slices` gives them, on the slices that these features are of."""
    maps = similarity.of_all(tokens, part.levels).float()
    n, k, m, _ = maps.shape
    shown = evidence(maps.reshape(n * k, 1, m, m)).reshape(n, k, 1, 1) + similarity.score_bias > 0
    return torch.where(shown, maps + similarity.words_bias - MARGIN, -1.0)


def _label_slices(
    similarity: TextSimilarity, tokens: Float[Tensor, "k c"], features: SliceSource, give_way: GiveWay
) -> np.ndarray:
    """The structure that each pixel is most similar to, counted from 1; 0 where none is on the slice."""
    parts = []
    for logits in sure_slices(similarity, tokens, features, give_way):
        best, index = logits.max(dim=1)
        parts.append(torch.where(best > 0, index + 1, 0).cpu().numpy())
    return np.concatenate(parts)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()) if count else mask
