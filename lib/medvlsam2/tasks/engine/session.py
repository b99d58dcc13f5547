"""What one model computes once for a scan, for all requests about this scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.language.measurements import measured_text
from medvlsam2.data.structures.table import Window
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.propagation.object_query import Lease
from medvlsam2.tasks.features.box_masks import BoxMasks
from medvlsam2.tasks.features.feature_store import (
    Encode,
    FeatureCache,
    FeatureStore,
    encode_batch,
)
from medvlsam2.tasks.features.view import View
from medvlsam2.tasks.measure.box_names import structure_in_box
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.findings import MaskGrid, measure_findings, strengths
from medvlsam2.tasks.measure.places import PlaceRAS, centres_ras, place_of
from medvlsam2.tasks.measure.structures import Measured, QuickLook, measurable, measure_structures
from medvlsam2.tasks.scheduling.device_lock import GiveWay, stay
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.prepare import PreparedVolume, prepare
from medvlsam2.transforms.spatial import Crop, SpatialRecord
from medvlsam2.transforms.text import prefix_ids, segmentation_turns
from medvlsam2.voxel_box import BoxIJK


class VolumeSession:
    """One scan, as one model sees it.

    Args:
        loaded: the model.
        volume: the scan.
        device: where the model is.
        cache: keeps slice features.
        encoder: hash of the slice encoder's weights (:func:`~medvlsam2.tasks.engine.engine.weights_fingerprint`).
    """

    def __init__(self, loaded: LoadedModel, volume: CTVolume, device: str, cache: FeatureCache, encoder: str) -> None:
        self.loaded = loaded
        self.volume = volume
        self.device = device
        self._cache = cache
        self._encoder = encoder
        self._box_masks = BoxMasks()
        self.whole = self._view(prepare(volume, loaded.config.sam2.image_size))
        self._near: dict[Crop, View] = {}
        self._boxed: dict[BoxIJK, str | None] = {}
        # Not cached properties: in Python 3.11 those hold a lock, and whoever holds one must not give way.
        self._facts: tuple[ScanFacts | None] | None = None
        self._look: tuple[QuickLook | None] | None = None
        self._centres: dict[str, PlaceRAS] = {}
        self._measured_prefix: PrefixCache | None = None
        self.known: Facts | None = None

    @property
    def prepared(self) -> PreparedVolume:
        """The whole scan, prepared for the model."""
        return self.whole.prepared

    @property
    def num_slices(self) -> int:
        """Slices of the scan along the model's slice axis."""
        return self.prepared.record.num_slices

    def features(self, window: Window) -> FeatureStore:
        """Slice features of the whole scan in one window."""
        return self.whole.features(window)

    def near(self, crop_hw: Crop) -> View:
        """A view of a part of all slices, given in voxels of the oriented scan (see :class:`SpatialRecord`)."""
        if crop_hw not in self._near:
            record = replace(self.prepared.record, crop_hw=crop_hw)
            self._near[crop_hw] = self._view(replace(self.prepared, record=record))
        return self._near[crop_hw]

    @cached_property
    def coronal(self) -> View:
        """A view of coronal slices."""
        record = plan(self.volume, self.loaded.config.sam2.image_size, "coronal")
        return self._view(replace(self.prepared, record=record))

    def _view(self, prepared: PreparedVolume) -> View:
        return View(self.loaded, prepared, self.device, self._open_store, self._box_masks)

    def _open_store(self, window: Window, record: SpatialRecord, encode: Encode) -> FeatureStore:
        key = (self.volume.content_hash, window, record.axes, record.crop_hw, record.side, self._encoder)
        device = torch.device(self.device)
        return self._cache.store(key, record.num_slices, encode, device, batch=encode_batch(device, record.side))

    @cached_property
    def prefix(self) -> PrefixCache:
        """Keys and values of the system turn and the scan's image tokens."""
        return self._prefill(None)

    @cached_property
    def image_tokens(self) -> Float[Tensor, "1 tokens hidden"]:
        """The whole scan in the language model's space."""
        with torch.no_grad():
            whole = self.prepared.whole_volume(self.loaded.config.vit.image_size_dhw).to(self.device)
            return self.loaded.model.encode_volume(whole)

    @torch.no_grad()
    def _prefill(self, measured: str | None) -> PrefixCache:
        ids = prefix_ids(self.loaded.tokenizer, self.loaded.config.projector.num_tokens, measured).to(self.device)
        return self.loaded.model.language.prefill(ids, self.image_tokens)

    def facts(self, give_way: GiveWay = stay) -> ScanFacts | None:
        """Measurements of the structures and findings that the model knows, from quick masks; None if it has none.

        Args:
            give_way: called between steps, which are many the first time.
        """
        if self._facts is None:
            self._facts = (self._measure_facts(give_way),)
        return self._facts[0]

    def quick_look(self, give_way: GiveWay = stay) -> QuickLook | None:
        """The structures that quick masks show, and where on the body the scan lies; None if they show nothing.

        Args:
            give_way: as for :meth:`facts`.
        """
        if self._look is None:
            self._measured(give_way)
        return None if self._look is None else self._look[0]

    def place_of(self, sentence: str, give_way: GiveWay = stay) -> PlaceRAS | None:
        """The place that a sentence is about, in RAS mm; None if nothing that the sentence names is seen.

        Args:
            sentence: in words.
            give_way: as for :meth:`facts`.
        """
        return place_of(sentence, self.facts(give_way), self._centres)

    def _measure_facts(self, give_way: GiveWay) -> ScanFacts | None:
        measured, findings = self._measured(give_way), self.loaded.metadata.get("findings", [])
        if measured is not None:
            self._centres = centres_ras(measured.masks, self._mask_grid().to_ijk, self.volume.affine)
        similarity = self.loaded.model.sam2.text_similarity
        if measured is None or similarity is None or not findings:
            return None if measured is None else measured.facts
        lesions = measure_findings(
            similarity,
            self._tokens_of(findings),
            self.features,
            measured.masks,
            self._mask_grid(),
            thresholds=self.loaded.metadata.get("finding_thresholds", {}),
            give_way=give_way,
        )
        return replace(measured.facts, lesions=lesions, lesions_known=True)

    def _measured(self, give_way: GiveWay = stay) -> Measured | None:
        similarity = self.loaded.model.sam2.text_similarity
        keys = measurable(self.loaded.metadata.get("structures", []))
        if similarity is None or not keys:
            return None
        depth_mm, height_mm, width_mm = self._mask_spacing_dhw_mm
        voxel_ml = depth_mm * height_mm * width_mm / 1000
        tokens = self._tokens_of(keys)
        measured = measure_structures(similarity, tokens, self.features, voxel_ml, slice_mm=depth_mm, give_way=give_way)
        self._look = (None if measured is None else measured.look,)
        return measured

    def finding_strengths(self, keys: Sequence[str]) -> dict[str, float]:
        """How strongly the model sees findings, by vocabulary key; empty if nothing can be measured."""
        similarity = self.loaded.model.sam2.text_similarity
        measured = self._measured()
        if similarity is None or measured is None:
            return {}
        return strengths(similarity, self._tokens_of(keys), self.features, measured.masks)

    def structure_in_box(self, box_ijk: BoxIJK, lease: Lease) -> str | None:
        """Vocabulary key of the structure that a box is drawn round; None if none fits or the model cannot tell."""
        similarity = self.loaded.model.sam2.text_similarity
        if similarity is None or not self._boxed_keys:
            return None
        if box_ijk not in self._boxed:
            with lease():
                tokens = self._boxed_tokens
            self._boxed[box_ijk] = structure_in_box(similarity, tokens, self.whole, box_ijk, lease)
        return self._boxed[box_ijk]

    @cached_property
    def _boxed_tokens(self) -> dict[str, Float[Tensor, " c"]]:
        return self._tokens_of(self._boxed_keys)

    @property
    def _boxed_keys(self) -> list[str]:
        return measurable(self.loaded.metadata.get("trained_on", []))

    def _tokens_of(self, keys: Sequence[str]) -> dict[str, Float[Tensor, " c"]]:
        tokens = self.text_tokens([vocabulary.STRUCTURES[key].name for key in keys])
        return dict(zip(keys, tokens, strict=True))

    @property
    def _mask_spacing_dhw_mm(self) -> tuple[float, float, float]:
        record = self.prepared.record
        ratio = self.loaded.config.sam2.image_size / self.loaded.model.sam2.mask_size
        height_mm, width_mm = record.pixel_mm
        return record.slice_spacing_mm, ratio * height_mm, ratio * width_mm

    def _mask_grid(self) -> MaskGrid:
        record, side = self.prepared.record, self.loaded.model.sam2.mask_size

        def to_ijk(points_dhw: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
            return record.mask_to_ijk(points_dhw, side)

        return MaskGrid(
            spacing_dhw_mm=self._mask_spacing_dhw_mm,
            hu_dhw=self.prepared.pooled_hu(side).numpy(),
            to_ijk=to_ijk,
            affine=self.volume.affine,
        )

    def measured_prefix(self, give_way: GiveWay = stay) -> PrefixCache:
        """Like ``prefix``, followed by the measurements in words. Reports and answers continue from here.

        Args:
            give_way: called between steps of measuring.
        """
        if self._measured_prefix is None:
            facts = self.facts(give_way)
            self._measured_prefix = self.prefix if facts is None else self._prefill(measured_text(facts))
        return self._measured_prefix

    @torch.no_grad()
    def text_tokens(self, phrases: list[str]) -> Float[Tensor, "k c"]:
        """Prompt tokens of phrases. The answer "It is [SEG]." is given to the model, so one pass serves all phrases."""
        requests = segmentation_turns(self.loaded.tokenizer, phrases)
        return self.loaded.model.request_tokens(self.prefix, *(part.to(self.device) for part in requests))
