"""The four tasks that answer with a mask; they differ in how a request names its objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from label_tasks.infer import requests
from label_tasks.infer.base import EngineTask, ScanReader
from label_tasks.infer.replies import (
    Reply,
    Stopwatch,
    label_file,
    recode,
)
from label_tasks.infer.requests import Target
from label_tasks.infer.scribbles import scribbled
from label_tasks.prompting import fields, places
from label_tasks.prompting.phrase_segments import SEGMENTS, PhraseSegments
from label_tasks.prompting.shared_clicks import SharedClicks
from medvlsam2 import voxel_box
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment


class MaskTask(EngineTask):
    """From a request to a label map on the source grid."""

    def __init__(self, engine: Engine, scans: ScanReader, **listed: Any) -> None:
        super().__init__(engine, scans, **listed)
        self._clicks = SharedClicks()

    @abstractmethod
    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """The objects that a request asks for."""

    def settle(self, request: Mapping[str, Any], targets: tuple[Target, ...], found: Sequence[bool]) -> None:
        """Note which of the targets were found; none of them if the request failed."""

    def _own_clicks(
        self, request: Mapping[str, Any], targets: tuple[Target, ...]
    ) -> tuple[tuple[Target, ...], tuple[str, ...]]:
        """OHIF's background clicks only for the object with which they were first sent."""
        if not requests.is_from_ohif(request) or len(targets) != 1:
            return targets, ()
        target, notes = self._clicks.own((_asker(request), request.get("image_id")), targets[0])
        return (target,), notes

    def answer(self, request: Mapping[str, Any], watch: Stopwatch) -> Reply:
        """Segment, and name only what was asked for; a viewer's segment of what was not found stays as it is."""
        requests.require_choice(request)
        targets = self.targets(request)
        form = requests.result_form(request, request["image"])
        volume = self.read_scan(request, watch)
        targets, notes = self._own_clicks(request, targets)
        prompts = [_cut_to_scan(target.prompt, volume) for target in targets]
        with watch.lap("infer"):
            result = self._segment(request, targets, volume, prompts)
        is_viewer = requests.is_from_ohif(request) or requests.is_from_slicer(request)
        if is_viewer or any(prompt.points_ijk for prompt in prompts):
            _require_something(result)
        if is_viewer:
            notes = (*notes, *_not_present(result))
        if requests.is_read_by_place(request):
            targets = places.by_place(targets, result.label_map)
        names = {
            target.value: item.name
            for target, item in zip(targets, result.objects, strict=True)
            if target.value != places.LEFT_OUT
        }
        with watch.lap("write"):
            file = label_file(recode(result.label_map, targets), volume, names, form)
        values = tuple(target.value if target.value != places.LEFT_OUT else None for target in targets)
        return Reply(file, result, values, notes)

    def _segment(
        self,
        request: Mapping[str, Any],
        targets: tuple[Target, ...],
        volume: CTVolume,
        prompts: list[ObjectPrompt],
    ) -> Segmentation:
        found: Sequence[bool] = [False] * len(targets)
        try:
            result = segment(self._engine, volume, prompts, owner=(_asker(request), request.get("image_id")))
            found = [item.present for item in result.objects]
        finally:
            self.settle(request, targets, found)
        return result


class SemanticTask(MaskTask):
    """Structures chosen from the model's list."""

    def __init__(self, engine: Engine, scans: ScanReader, labels: Mapping[str, int]) -> None:
        super().__init__(
            engine,
            scans,
            kind="segmentation",
            labels=labels,
            description="Segments the structures in 'structures' (names with commas; empty means all)",
            options={"structures": ""},
        )

    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """See :func:`requests.semantic`."""
        return requests.semantic(request, self.labels)


class ReferringTask(MaskTask):
    """Whatever a phrase means."""

    def __init__(self, engine: Engine, scans: ScanReader) -> None:
        super().__init__(
            engine,
            scans,
            kind="segmentation",
            labels=SEGMENTS,
            description="Segments what 'prompt' means, e.g. 'the largest cyst in the right kidney'",
            options={"prompt": ""},
        )
        self._segments = PhraseSegments()

    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """See :func:`requests.referring`; in OHIF each phrase has a segment of its own."""
        targets = requests.referring(request)
        if not requests.is_from_ohif(request):
            return targets
        chosen = [value for _, value in fields.ids(request.get("label_prompt"), self.labels)]
        return self._segments.place((_asker(request), request.get("image_id")), targets, chosen)

    def settle(self, request: Mapping[str, Any], targets: tuple[Target, ...], found: Sequence[bool]) -> None:
        """In OHIF a phrase that was not found leaves its segment to another."""
        if requests.is_from_ohif(request):
            self._segments.settle((_asker(request), request.get("image_id")), targets, found)


class InteractiveTask(MaskTask):
    """Clicks, a box and the segment's name, together or alone."""

    def __init__(self, engine: Engine, scans: ScanReader) -> None:
        super().__init__(
            engine,
            scans,
            kind="deepgrow",
            labels=(),
            description="Segments the object under clicks, in a box, or that the segment is named after",
            options={},
        )

    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """See :func:`requests.interactive`."""
        return requests.interactive(request)


class ScribblesTask(MaskTask):
    """Strokes on and beside the object, in Slicer's scribbles tab."""

    def __init__(self, engine: Engine, scans: ScanReader) -> None:
        super().__init__(
            engine,
            scans,
            kind="scribbles",
            labels=(),
            description="Segments the object that strokes are drawn on, or corrects the selected segment by them",
            options={},
        )

    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """See :func:`scribbles.scribbled`."""
        return (scribbled(request, self.read_scan(request, Stopwatch())),)


class PromptsTask(MaskTask):
    """Class and point prompts as OHIF sends them to VISTA-3D."""

    def __init__(self, engine: Engine, scans: ScanReader, labels: Mapping[str, int]) -> None:
        super().__init__(
            engine,
            scans,
            kind="vista3d",
            labels=labels,
            description="Segments classes, or one class that clicks point at",
            options={},
        )

    def targets(self, request: Mapping[str, Any]) -> tuple[Target, ...]:
        """See :func:`requests.class_and_points`."""
        return requests.class_and_points(request, self.labels)


def _asker(request: Mapping[str, Any]) -> str | None:
    """Who asks, where the client says so."""
    client = request.get("client_id")
    return client if isinstance(client, str) else None


def _not_present(result: Segmentation) -> tuple[str, ...]:
    """A sentence for what a viewer's annotator asked for in vain."""
    absent = [item.name for item in result.objects if not item.present]
    return (f"Not present: {places.listed(absent)}. Segments of that name are not changed.",) if absent else ()


def _require_something(result: Segmentation) -> None:
    """Refuse an empty answer for a viewer, or to clicks of which none could be used: it would empty the segment.

    Raises:
        InvalidPrompt: if nothing of what was asked for is in the scan.
    """
    if not result.label_map.any():
        names = [item.name for item in result.objects]
        raise InvalidPrompt(
            f"Not present: {places.listed(names)} {'is' if len(names) == 1 else 'are'} not seen in this scan, so no "
            "segment was changed. Point at it with clicks if it is there."
        )


def _cut_to_scan(prompt: ObjectPrompt, volume: CTVolume) -> ObjectPrompt:
    """Cut a viewer's box to the scan: it may be drawn beyond its edge, but not beside it."""
    box = prompt.box_ijk
    if box is None:
        return prompt
    inside = voxel_box.clipped(box, volume.shape_ijk)
    if voxel_box.is_empty(inside):
        raise InvalidPrompt(
            f"The box {box} (i0, i1, j0, j1, k0, k1, half-open) lies outside the scan of shape "
            f"{volume.shape_ijk}. Draw it over the object."
        )
    return replace(prompt, box_ijk=inside)
