"""Sends final labels to the PACS in a thread of its own, one after another, until each is stored.

A failed attempt is repeated after a wait that doubles each time, and at once when the PACS answers again. The SEG of a
label is made once and kept until the PACS has stored it, so a repeated attempt stores the same instance.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from label_tasks.logs.short_ids import anonymous, short_id
from label_tasks.pacs import label_segs
from label_tasks.pacs.dicomweb import DicomWeb
from label_tasks.pacs.label_states import LabelState, LabelStates, fingerprint
from label_tasks.pacs.seg_index import SegIndex, header_of
from medvlsam2 import atomic_files
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.data.studies.versions import now
from medvlsam2.errors import FolderBusy, MedVLSAM2Error

logger = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 300.0
POLL_S: Final = 5.0
"""Seconds within which labels are found that other processes stored or restored."""

OTHERS_S: Final = 1.0
"""Seconds to wait while another server sends a label, before its state is read again."""


GONE: Final = "not in the PACS any more"
"""Sentence for a label whose SEG was removed from the PACS: the label stays here and is not sent again by itself."""


class Sender:
    """The labels that wait for the PACS, and the thread that sends them."""

    def __init__(
        self,
        folder: StudiesFolder,
        states: LabelStates,
        *,
        pacs: DicomWeb,
        scan_of: Callable[[str], Path],
        segs: SegIndex,
    ) -> None:
        self._folder = folder
        self._states = states
        self._pacs = pacs
        self._scan_of = scan_of
        self._segs = segs
        self._next_s: dict[str, float] = {}
        self._tried = threading.Condition()
        self._woken = threading.Event()
        self._stopped = False
        self._running = False

    def waiting(self) -> list[str]:
        """Images whose final label the PACS does not have yet."""
        return [image_id for image_id in self._folder.index().objects if self.waits(image_id)]

    def waits(self, image_id: str) -> bool:
        """Return whether the PACS does not have the final label of an image yet."""
        wanted = self._wanted(image_id)
        return wanted is not None and wanted != self._states.of(image_id).fingerprint

    def told(self, image_id: str) -> dict[str, Any]:
        """Return the state of an image's final label at the PACS, in words for people."""
        state = self._states.of(image_id)
        if self.waits(image_id):
            told: dict[str, Any] = {"state": "waiting for the PACS", "attempts": state.attempts}
            return {**told, "reason": state.reason} if state.reason else told
        if not state.seg:
            return {"state": "from before: not sent by this server"}
        uids = {key: state.seg.get(key, "") for key in ("SeriesInstanceUID", "SOPInstanceUID")}
        return {"state": GONE if state.gone else "in the PACS", **uids, **({"sent": state.sent} if state.sent else {})}

    def take_labels_as_they_are(self) -> None:
        """Mark all labels that were here before this sender as not to be sent."""
        for image_id in self.waiting():
            self._states.change(image_id, fingerprint=self._wanted(image_id) or "")

    def compare(self, before: Collection[str]) -> None:
        """Record which of the sent labels the PACS does not list any more, and which it lists again.

        Args:
            before: SOPInstanceUIDs of the SEGs that the PACS listed the previous time.
        """
        now_there = self._segs.uids()
        for image_id in self._folder.index().objects:
            state = self._states.of(image_id)
            uid = (state.seg or {}).get("SOPInstanceUID", "")
            gone = uid not in now_there and (state.gone or uid in before)
            if uid and gone != state.gone:
                self._states.change(image_id, gone=gone)

    def start(self) -> None:
        """Start the thread that sends."""
        self._running = True
        threading.Thread(target=self._run, name="pacs-sender", daemon=True).start()

    def stop(self) -> None:
        """End the thread after its current label."""
        self._stopped = True
        self._woken.set()

    def wake(self, image_id: str | None = None) -> None:
        """Try now to send the label of one image, or all labels that wait."""
        if image_id is None:
            self._next_s.clear()
        else:
            self._next_s.pop(image_id, None)
        self._woken.set()

    def wait_for(self, image_id: str, limit_s: float) -> None:
        """Wait until the label of an image was sent or an attempt has failed; return at once if no thread sends."""
        attempts = self._states.of(image_id).attempts
        with self._tried:
            self._tried.wait_for(
                lambda: not self.waits(image_id) or self._states.of(image_id).attempts > attempts,
                limit_s if self._running else 0,
            )

    def _run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            try:
                self._round()
            except Exception:
                logger.exception("Labels could not be sent to the PACS")
            soonest_s = min((s for s in self._next_s.values() if s > time.monotonic()), default=float("inf"))
            self._woken.wait(min(POLL_S, max(soonest_s - time.monotonic(), 0.0)))

    def _round(self) -> None:
        for image_id in self.waiting():
            if self._stopped or time.monotonic() < self._next_s.get(image_id, 0.0):
                continue
            self._try(image_id)
            with self._tried:
                self._tried.notify_all()

    def _try(self, image_id: str) -> None:
        try:
            with self._states.changing(image_id, OTHERS_S):
                if self.waits(image_id):  # otherwise another server has sent it meanwhile
                    self._send(image_id)
            self._next_s.pop(image_id, None)
        except FolderBusy:
            self._next_s[image_id] = time.monotonic() + OTHERS_S
        except MedVLSAM2Error as error:
            attempts = self._states.failed(image_id, str(error)).attempts
            wait_s = min(FIRST_WAIT_S * 2 ** min(attempts - 1, 16), LONGEST_WAIT_S)
            self._next_s[image_id] = time.monotonic() + wait_s
            why = anonymous(str(error), image_id)
            logger.warning("The label of image %s waits for the PACS (try %d): %s", short_id(image_id), attempts, why)

    def _send(self, image_id: str) -> None:
        state = self._prepared(image_id)
        header = dict(state.prepared_seg or {})
        file = self._states.seg_file(image_id)
        self._pacs.store(header, file.read_bytes())
        self._states.change(
            image_id,
            fingerprint=state.prepared,
            sent=now(),
            seg=header,
            gone=False,
            uids=(*state.uids, header["SOPInstanceUID"]),
            prepared="",
            prepared_seg=None,
            attempts=0,
            reason="",
        )
        file.unlink(missing_ok=True)
        logger.info("The label of image %s is in the PACS", short_id(image_id))

    def _prepared(self, image_id: str) -> LabelState:
        """Return the state of a label with a prepared SEG: the SEG that was made before, or a new one."""
        state = self._states.of(image_id)
        if state.prepared and state.prepared == self._wanted(image_id) and self._states.seg_file(image_id).is_file():
            return state
        seg, info = label_segs.make_seg(self._folder, image_id, self._scan_of(image_id), self._before(image_id))
        made_of = fingerprint(self._folder.label(image_id, FINAL).ext, info)
        atomic_files.write_bytes(self._states.seg_file(image_id), label_segs.as_bytes(seg), private=True)
        return self._states.change(image_id, prepared=made_of, prepared_seg=header_of(seg))

    def _before(self, image_id: str) -> dict[str, str] | None:
        """Return the header of the SEG to replace: this server's newest, or else one that must not be trusted."""
        seg = self._states.of(image_id).seg
        known = self._segs.of_image(image_id)
        ours = [one for one in known if one.ours and one.label == "FINAL"]
        if seg and seg["SOPInstanceUID"] not in {one.uid for one in ours}:
            return dict(seg)  # sent after the list was renewed
        old = ours or [one for one in known if one.warning]
        return old[-1].header if old else None

    def _wanted(self, image_id: str) -> str | None:
        """Return the fingerprint of the final label by its entry in the index; None if there is no label map."""
        item = self._folder.index().objects.get(image_id)
        label = item.labels.get(FINAL) if item else None
        return None if label is None or label.ext.lower() == ".json" else fingerprint(label.ext, label.info)
