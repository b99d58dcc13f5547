"""How a request for a mask is answered, whatever way it names its objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from label_tasks.infer import requests
from label_tasks.infer.base import EngineTask, ScanReader
from label_tasks.infer.call import Call
from label_tasks.infer.replies import Reply, label_file, recode
from label_tasks.prompting import places
from label_tasks.prompting.shared_clicks import SharedClicks
from label_tasks.prompting.target import Target
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.segment import Segmentation, segment


class MaskTask(EngineTask):
    """From a call to a label map on the grid of the scan."""

    def __init__(self, engine: Engine, scans: ScanReader, **listed: Any) -> None:
        super().__init__(engine, scans, **listed)
        self._clicks = SharedClicks()

    @abstractmethod
    def targets(self, call: Call) -> tuple[Target, ...]:
        """The objects that a call asks for."""

    def settle(self, call: Call, targets: tuple[Target, ...], found: Sequence[bool]) -> None:
        """Note which of the targets were found; none of them if the call failed."""

    def answer(self, call: Call) -> Reply:
        """Segment what is asked for. A viewer's segment of an object that is not found stays as it is."""
        requests.require_choice(call.options)
        targets = self.targets(call)
        form = requests.result_form(call.options, call.path)
        volume = call.scan()
        targets, notes = self._own_clicks(call, targets)
        with call.watch.lap("infer"):
            result = self._segment(call, targets, volume)
        if call.viewer is not None or any(target.prompt.points_ijk for target in targets):
            _require_something(result)
        if call.viewer is not None:
            notes = (*notes, *_not_present(result))
        if call.is_read_by_place:
            targets = places.by_place(targets, result.label_map)
        values = tuple(target.value if target.value != places.LEFT_OUT else None for target in targets)
        names = {value: item.name for value, item in zip(values, result.objects, strict=True) if value is not None}
        with call.watch.lap("write"):
            file = label_file(recode(result.label_map, targets), volume, names, form)
        return Reply(file, result, values, notes)

    def _own_clicks(self, call: Call, targets: tuple[Target, ...]) -> tuple[tuple[Target, ...], tuple[str, ...]]:
        """Leave out background clicks that OHIF sent with another object first (see :class:`SharedClicks`)."""
        if call.viewer != "OHIF" or len(targets) != 1:
            return targets, ()
        target, notes = self._clicks.own(call.owner, targets[0])
        return (target,), notes

    def _segment(self, call: Call, targets: tuple[Target, ...], volume: CTVolume) -> Segmentation:
        found: Sequence[bool] = [False] * len(targets)
        try:
            result = segment(self._engine, volume, [target.prompt for target in targets], owner=call.owner)
            found = [item.present for item in result.objects]
        finally:
            self.settle(call, targets, found)
        return result


def _not_present(result: Segmentation) -> tuple[str, ...]:
    """A sentence that names the objects that were asked for and not found."""
    absent = [item.name for item in result.objects if not item.present]
    return (f"Not present: {places.listed(absent)}. Segments of that name are not changed.",) if absent else ()


def _require_something(result: Segmentation) -> None:
    """Refuse to send an empty mask to a viewer or in answer to clicks: it would empty the annotator's segment.

    Raises:
        InvalidPrompt: if nothing of what was asked for is in the scan.
    """
    if not result.label_map.any():
        names = [item.name for item in result.objects]
        reasons = [item.reason for item in result.objects if item.reason]
        raise InvalidPrompt(
            f"Not present: {places.listed(names)} {'is' if len(names) == 1 else 'are'} not seen in this scan, so no "
            f"segment was changed. {''.join(f'{reason} ' for reason in reasons)}Point at it with clicks if it is there."
        )
