"""One call of a task: what the host hands over as a dictionary, read once into a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from label_tasks.infer.stopwatch import Stopwatch
from label_tasks.prompting import fields
from label_tasks.prompting.fields import Request
from label_tasks.prompting.viewers import Viewer, viewer_of
from medvlsam2.data.volume import CTVolume

ReadScan = Callable[[str, str], CTVolume]
"""Reads the scan at a path; the id of the image is for messages."""


@dataclass
class Call:
    """One call of a task, from its request to its reply.

    Args:
        options: the request with the defaults of the task filled in. Each task reads its own fields from here, once.
        path: file or folder of the scan.
        image_id: id of the scan.
        client_id: who asks, where the client says so.
        viewer: which viewer asks.
        is_stored: whether the result is stored as a label.
        read: reads the scan.
        watch: times the stages.
    """

    options: Request
    path: str
    image_id: str
    client_id: str | None
    viewer: Viewer | None
    is_stored: bool
    read: ReadScan
    watch: Stopwatch = field(default_factory=Stopwatch)
    _scan: CTVolume | None = None

    @classmethod
    def of(cls, request: Request, read: ReadScan) -> Call:
        """Read the fields that all tasks share.

        Raises:
            InvalidRequest: if ``save_label`` is no truth value.
        """
        path, client = request["image"], request.get("client_id")
        return cls(
            options=request,
            path=path,
            image_id=request.get("image_id", Path(path).name),
            client_id=client if isinstance(client, str) else None,
            viewer=viewer_of(request),
            is_stored=fields.flag(request, "save_label"),
            read=read,
        )

    @property
    def owner(self) -> tuple[str | None, str]:
        """Who asks about which scan. A newer request of the same owner may replace an older one."""
        return self.client_id, self.image_id

    @property
    def is_read_by_place(self) -> bool:
        """Whether the n-th name of the reply will be read as the name of the value n.

        Slicer reads names so, of a reply now and of a stored result later.
        """
        return self.viewer == "3D Slicer" or (self.viewer is None and self.is_stored)

    def scan(self) -> CTVolume:
        """The scan. It is read when it is first needed, once, and the stopwatch runs.

        Raises:
            UnreadableVolume: if it cannot be read.
        """
        if self._scan is None:
            with self.watch.lap("read"):
                self._scan = self.read(self.path, self.image_id)
        return self._scan
