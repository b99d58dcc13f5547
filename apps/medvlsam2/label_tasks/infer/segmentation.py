"""The five tasks that answer with a mask; they differ in how a request names its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from label_tasks.infer import requests
from label_tasks.infer.base import ScanReader
from label_tasks.infer.call import Call
from label_tasks.infer.mask_task import MaskTask
from label_tasks.infer.scribbles import scribbled
from label_tasks.prompting import fields
from label_tasks.prompting.phrase_segments import SEGMENTS, PhraseSegments
from label_tasks.prompting.target import Target
from medvlsam2.tasks.engine.engine import Engine


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

    def targets(self, call: Call) -> tuple[Target, ...]:
        """See :func:`requests.semantic`."""
        return requests.semantic(call.options, self.labels)


class ReferringTask(MaskTask):
    """The objects that a phrase means."""

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

    def targets(self, call: Call) -> tuple[Target, ...]:
        """See :func:`requests.referring`; in OHIF each phrase has a segment of its own."""
        targets = requests.referring(call.options)
        if call.viewer != "OHIF":
            return targets
        chosen = [value for _, value in fields.ids(call.options.get("label_prompt"), self.labels)]
        return self._segments.place(call.owner, targets, chosen)

    def settle(self, call: Call, targets: tuple[Target, ...], found: Sequence[bool]) -> None:
        """In OHIF the segment of a phrase that was not found becomes free again."""
        if call.viewer == "OHIF":
            self._segments.settle(call.owner, targets, found)


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

    def targets(self, call: Call) -> tuple[Target, ...]:
        """See :func:`requests.interactive`."""
        return requests.interactive(call.options)


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

    def targets(self, call: Call) -> tuple[Target, ...]:
        """See :func:`scribbles.scribbled`."""
        return (scribbled(call.options, call.scan()),)


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

    def targets(self, call: Call) -> tuple[Target, ...]:
        """See :func:`requests.class_and_points`."""
        return requests.class_and_points(call.options, self.labels)
