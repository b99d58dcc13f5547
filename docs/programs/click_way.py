"""Draws the way of one click from the HTTP route to the mask, from a request that is really answered.

`STEPS` names functions and says in words what each does; `record` lets a model answer one click and watches which of
them run, in which order, and from which other one each is called. A step that does not run, or runs out of order, is an
error: then this file, or the code, is wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final
from unittest.mock import patch

from drawing import Picture, wrapped

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "lib" / "medvlsam2"
APP: Final = ROOT / "apps" / "medvlsam2"
IMAGE: Final = "phantom"
WIDTH: Final = 1000
TOP: Final = 58
INDENT: Final = 15
BOX_WIDTH: Final = 430
ROW: Final = 46
LEGEND: Final = {"app": "app", "tasks": "tasks", "model": "model", "data": "data"}
"""Kind of box and what stands in it; the model's boxes hold `transforms` too."""


@dataclass(frozen=True)
class Step:
    """One function on the way.

    Args:
        file: below `lib/medvlsam2` or `apps/medvlsam2`.
        function: its qualified name without the enclosing function.
        says: what it does.
    """

    file: str
    function: str
    says: str

    @property
    def kind(self) -> str:
        """The colour of its package."""
        first = self.file.split("/", maxsplit=1)[0]
        return {"tasks": "tasks", "model": "model", "transforms": "model", "data": "data"}.get(first, "app")


STEPS: Final = (
    Step("label_tasks/http/middleware/origins.py", "OurOrigins.__call__", "Refuses pages of other sites."),
    Step("label_tasks/http/bodies/forms.py", "FrugalRequest.form", "Reads the form within limits."),
    Step("label_tasks/http/routes/inference.py", "infer", "Finds out who asks, and for which image."),
    Step(
        "label_tasks/http/beside.py", "while_connected", "Starts a thread for the work; it stops if the client leaves."
    ),
    Step("main.py", "MedVLSAM2App.infer", "Chooses the task by its name."),
    Step("label_tasks/infer/requests.py", "interactive", "Turns the host's dictionary into an ObjectPrompt."),
    Step("data/readers.py", "read_volume", "Reads the scan in HU with its affine; kept for the next click."),
    Step("tasks/segment.py", "segment", "One request: prompts in, one label map out."),
    Step("tasks/engine/engine.py", "Engine.session", "Gives what is kept of this scan; loads weights at first use."),
    Step("transforms/framing.py", "plan", "Chooses the slices' axis and crops them to the body."),
    Step("tasks/masks/slice_prompts.py", "on_slices", "Brings the click from voxels to a pixel of a slice."),
    Step("tasks/asking/find.py", "find_all", "Chooses the window in HU; turns words into [SEG] tokens."),
    Step("model/propagation/propagate.py", "segment_objects", "Clicked slices first, then all others, up and down."),
    Step("tasks/features/feature_store.py", "FeatureStore.select", "Gives a slice's features; encodes it only once."),
    Step(
        "model/pixel_decoder/visual_token.py", "VisualToken.forward", "Makes a token like [SEG] of the clicked pixels."
    ),
    Step("model/pixel_decoder/volume_sam2.py", "VolumeSAM2.predict", "Decodes the mask of one slice."),
    Step("model/pixel_decoder/volume_sam2.py", "VolumeSAM2.remember", "Puts the slice and its mask into the memory."),
    Step("model/pixel_decoder/volume_sam2.py", "VolumeSAM2.with_memory", "Lets the next slice attend to the memory."),
    Step("tasks/masks/click_correction.py", "heed_clicks", "Corrects the logits where they contradict a click."),
    Step("tasks/answers/compose.py", "Composition.label_map", "Composes one label map; a part wins over its whole."),
    Step("transforms/guided.py", "guided_upsample", "Enlarges the logits along the scan's own edges."),
    Step("tasks/answers/geometry.py", "heed_clicked_voxels", "Makes sure that each clicked voxel is as clicked."),
    Step("tasks/answers/results.py", "result_of", "Measures volume, diameter, confidence, slice to fix."),
    Step("data/label_maps.py", "write_label_map", "Writes the mask on exactly the scan's grid."),
)


@dataclass(frozen=True)
class Seen:
    """A step that ran: its number, and that of the step that called it, or started its thread; None for the first."""

    number: int
    parent: int | None


class Recorder:
    """Watches calls of the steps, in all threads that start while it is used."""

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}
        self._numbers: dict[CodeType, int | None] = {}

    def __enter__(self) -> Recorder:
        threading.setprofile(self._watch)
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _watch(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        number = self._number(frame.f_code)
        if number is None or number in self.seen:
            return
        caller, parent = frame.f_back, None
        while caller is not None and parent is None:
            parent = self._number(caller.f_code)
            caller = caller.f_back
        if parent is None and self.seen:
            parent = list(self.seen)[-1]
        self.seen[number] = Seen(number, parent)

    def _number(self, code: CodeType) -> int | None:
        if code not in self._numbers:
            self._numbers[code] = _step_of(code)
        return self._numbers[code]


def _step_of(code: CodeType) -> int | None:
    for folder in (PACKAGE, APP):
        if code.co_filename.startswith(f"{folder}/"):
            file, function = code.co_filename[len(f"{folder}/") :], code.co_qualname.rpartition("<locals>.")[2]
            found = [n for n, step in enumerate(STEPS) if (step.file, step.function) == (file, function)]
            return found[0] if found else None
    return None


def recorded(model: str = "nano") -> list[Seen]:
    """Let a model answer one click in the liver of a phantom, over HTTP and in this process.

    Args:
        model: name or folder of the model.

    Raises:
        RuntimeError: if the answer is none, or a step is missing or out of order.
    """
    if str(APP) not in sys.path:
        sys.path.insert(0, str(APP))
    import numpy as np

    from medvlsam2.data.phantom import PhantomConfig, generate
    from medvlsam2.data.volume_files import write_volume

    config = PhantomConfig(shape_ijk=(64, 56, 36), spacing_mm=(6.0, 6.0, 5.0), region="abdomen", num_lesions=2)
    phantom = generate(5, config)
    liver = next(value for value, key in phantom.labels.items() if key == "liver")
    inside = np.argwhere(phantom.label_map == liver)
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        write_volume(studies / f"{IMAGE}.nii.gz", phantom.volume)
        with _served(studies, model) as client:
            return in_order(record(client, [int(index) for index in inside[len(inside) // 2]]))


@contextmanager
def _served(studies: Path, model: str) -> Iterator[Any]:
    """A client of the server in this process; the host's settings are put back afterwards."""
    import monailabel.interfaces.utils.app as host
    from fastapi.testclient import TestClient
    from monailabel.config import settings

    from label_tasks.server import build

    chosen = {
        "MONAI_LABEL_DATASTORE_AUTO_RELOAD": False,
        "MONAI_LABEL_SESSION_PATH": str(studies.parent / "sessions"),
        "MONAI_LABEL_APP_DIR": str(APP),
        "MONAI_LABEL_STUDIES": str(studies),
    }
    with ExitStack() as stack:
        for name, value in chosen.items():
            stack.enter_context(patch.object(settings, name, value))
        stack.callback(host.clear_cache)
        host.clear_cache()
        host.app_instance(str(APP), str(studies), {"model": model, "device": "cpu"})
        yield TestClient(build())


def record(client: Any, click_ijk: list[int]) -> list[Seen]:
    """Which steps run while a click is answered, in the order in which each runs first."""
    params = json.dumps({"foreground": [click_ijk], "background": [], "result_extension": ".nrrd"})
    with Recorder() as recorder:
        reply = client.post(f"/infer/medvlsam2_interactive?image={IMAGE}&output=image", data={"params": params})
    if reply.status_code != 200:
        raise RuntimeError(f"The click was answered with {reply.status_code}: {reply.text}")
    return list(recorder.seen.values())


def in_order(seen: list[Seen]) -> list[Seen]:
    """The steps, if all of them ran in their order.

    Raises:
        RuntimeError: naming those that did not.
    """
    ran = [one.number for one in seen]
    missing = [f"{step.file} {step.function}" for number, step in enumerate(STEPS) if number not in ran]
    if missing:
        raise RuntimeError(f"These steps of docs/programs/click_way.py did not run at a click: {', '.join(missing)}.")
    if ran != sorted(ran):
        names = ", ".join(STEPS[number].function for number in ran)
        raise RuntimeError(f"The steps of docs/programs/click_way.py run in another order: {names}.")
    return seen


def draw(seen: list[Seen]) -> str:
    """The picture as SVG: a row for each step, below the step that calls it."""
    picture = Picture("The way of one click: the functions that run, from the HTTP route to the file with the mask")
    picture.text(16, 24, "POST /infer/medvlsam2_interactive", "name")
    picture.text(
        16, 43, "A line leads from a function to those that it calls. Each is shown where it runs first.", "small"
    )
    for number, (kind, name) in enumerate(LEGEND.items()):
        picture.box(WIDTH - 400 + 100 * number, 14, 14, 14, kind)
        picture.text(WIDTH - 380 + 100 * number, 26, name, "small")
    depths: dict[int, int] = {}
    for row, one in enumerate(seen):
        depths[one.number] = 0 if one.parent is None else depths[one.parent] + 1
        x, y = 16 + INDENT * depths[one.number], TOP + row * ROW
        if one.parent is not None:
            parent_x = 16 + INDENT * depths[one.parent] + INDENT / 2
            parent_y = TOP + [other.number for other in seen].index(one.parent) * ROW + ROW - 8
            picture.path(f"M{parent_x:g} {parent_y:g} V{y + ROW / 2 - 4:g} H{x:g}", has_arrow=False)
    for row, one in enumerate(seen):
        _draw_step(picture, STEPS[one.number], 16 + INDENT * depths[one.number], TOP + row * ROW)
    return picture.svg(WIDTH, TOP + len(seen) * ROW + 10)


def _draw_step(picture: Picture, step: Step, x: float, y: float) -> None:
    picture.box(x, y, BOX_WIDTH, ROW - 8, step.kind)
    picture.text(x + 10, y + 16, step.function, "code")
    picture.text(x + 10, y + 31, step.file, "small")
    left = x + BOX_WIDTH + 12
    lines = wrapped(step.says, WIDTH - left - 8, 13)
    for number, line in enumerate(lines):
        picture.text(left, y + 23 + 16 * (number - (len(lines) - 1) / 2), line, "says")
