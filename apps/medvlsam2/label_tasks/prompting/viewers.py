"""Which viewer asks, by the keys that it alone sends."""

from __future__ import annotations

from typing import Literal

from label_tasks.prompting.fields import Request

Viewer = Literal["OHIF", "3D Slicer"]


def viewer_of(request: Request) -> Viewer | None:
    """The viewer that sent a request; None for any other program.

    OHIF's panel alone sends ``restore_label_idx``, and reads values as the published ids. 3D Slicer's module sends
    ``result_dtype`` without it, and reads the n-th name of a reply as the name of the value n.
    """
    if "restore_label_idx" in request:
        return "OHIF"
    return "3D Slicer" if "result_dtype" in request else None
