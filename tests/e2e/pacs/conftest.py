"""Orthanc behind a simulated cable that can be interrupted, and series in the form that scanners send."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
import requests
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT_UID = "1.2.826.0.1.3680043.8.498.21"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Cable:
    """A TCP relay to a server that can be disconnected, can hang, or can be slow."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pulled = False
        self._stuck = False
        self._open: set[socket.socket] = set()
        self.delay_s = 0.0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        """End every connection, and take no other."""
        self._pulled = True
        self._drop()

    def stick(self) -> None:
        """Take connections, and let nothing through."""
        self._stuck = True

    def mend(self) -> None:
        """Pass everything on again; what was stuck is lost."""
        self._pulled, self._stuck, self.delay_s = False, False, 0.0
        self._drop()

    def close(self) -> None:
        """Close the relay."""
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._pulled:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open |= {near, far}
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay_s)
                while self._stuck:
                    time.sleep(0.02)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)


@pytest.fixture(scope="module")
def cable(orthanc: str) -> Iterator[Cable]:
    """The relay from our server to Orthanc."""
    cable = Cable(orthanc)
    yield cable
    cable.close()


def body() -> np.ndarray:
    """Air with an ellipse of 40 HU and a dense blob on one side: 40 slices."""
    i, j, k = np.indices((40, 36, 40))
    hu = np.full(i.shape, -1000, np.int16)
    hu[((i - 19.5) / 17) ** 2 + ((j - 17.5) / 14) ** 2 < 1] = 40
    hu[(i - 10) ** 2 + (j - 15) ** 2 + (k - 20) ** 2 < 16] = 300
    return hu


def grid(tilt_mm: float = 0.0) -> np.ndarray:
    """Voxel indices to RAS mm; each slice may lie further to the front than the last."""
    affine = np.diag([-8.0, -8.0, 4.0, 1.0])
    affine[:3, 3] = (150, 130, -300)
    affine[1, 2] = tilt_mm
    return affine


def slices(number: int, hu: np.ndarray, affine: np.ndarray, first: int = 0) -> dict[int, bytes]:
    """The files of the series with this number, by slice."""
    uid = f"{ROOT_UID}.{number}"
    lps = LPS @ affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :3] / spacing_mm
    files = {}
    for k in range(hu.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"{uid}.{first + k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.is_little_endian, one.is_implicit_VR = True, False
        one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        one.PatientName, one.PatientID, one.StudyID, one.AccessionNumber = "Test^Case", f"T{number}", "1", ""
        one.PatientBirthDate, one.PatientSex, one.ReferringPhysicianName = "", "", ""
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = f"{uid}.9000", uid, f"{uid}.9001"
        one.StudyDate, one.StudyTime = "20260102", "101112"
        one.SeriesNumber, one.InstanceNumber, one.AcquisitionNumber = 1, first + k + 1, 1
        one.Rows, one.Columns = hu.shape[1], hu.shape[0]
        one.PixelSpacing, one.SliceThickness = [f"{v:.6f}" for v in spacing_mm[1::-1]], f"{spacing_mm[2]:.4f}"
        one.ImagePositionPatient = [f"{v:.6f}" for v in lps[:3, :3] @ [0, 0, k] + lps[:3, 3]]
        one.ImageOrientationPatient = [f"{v:.8f}" for v in (*axes[:, 0], *axes[:, 1])]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 1
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.PixelData = np.ascontiguousarray(hu[:, :, k].T).tobytes()
        one["PixelData"].VR = "OW"
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, one, write_like_original=False)
        files[k] = buffer.getvalue()
    return files


@pytest.fixture(scope="module")
def send(orthanc: str) -> Callable[..., str]:
    """Sends files of the series with a number to Orthanc; its SeriesInstanceUID."""

    def send_(number: int, *parts: dict[int, bytes], without: tuple[int, ...] = ()) -> str:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for place, part in enumerate(parts):
                for k, content in part.items():
                    if k not in without:
                        archive.writestr(f"{place}-{k}.dcm", content)
        requests.post(f"{orthanc}/instances", data=buffer.getvalue(), timeout=60).raise_for_status()
        return f"{ROOT_UID}.{number}"

    return send_


@pytest.fixture(scope="module")
def segs_of(orthanc: str) -> Callable[[str], list[pydicom.Dataset]]:
    """SEGs that Orthanc holds for a series, oldest first."""

    def segs_of_(series: str) -> list[pydicom.Dataset]:
        query = {"Level": "Instance", "Query": {"Modality": "SEG"}}
        known = requests.post(f"{orthanc}/tools/find", json=query, timeout=60).json()
        files = [requests.get(f"{orthanc}/instances/{one}/file", timeout=60).content for one in known]
        segs = [pydicom.dcmread(BytesIO(file)) for file in files]
        own = [seg for seg in segs if seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series]
        return sorted(own, key=lambda seg: (seg.ContentDate, seg.ContentTime))

    return segs_of_
