"""A PACS of the tests' own: it speaks DICOMweb, counts what it is asked, and can hang, fail or die in the middle."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from label_tasks.pacs import sender
from label_tasks.pacs.address import PacsAddress
from label_tasks.pacs.datastore import PacsDatastore
from label_tasks.pacs.dicomweb import DicomWeb
from medvlsam2.data.readers import read_volume

STUDY: Final = "1.2.3.1"
SERIES: Final = "1.2.3.2"
SLICER: Final = [
    {"name": name, "idx": number} for number, name in enumerate(("left kidney", "spleen", "liver"), start=1)
]
Submit = Callable[..., None]
_ONE: Final = re.compile(r"/studies/([^/]+)/series/([^/]+)/instances/([^/]+)$")
_BOUNDARY: Final = b"the-boundary"


class FakePacs:
    """The content and the behaviour of the PACS; tests may change both at any time."""

    def __init__(self) -> None:
        self.url = ""
        self.series: dict[str, dict[str, bytes]] = {}
        self.modalities: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.stored: list[bytes] = []
        self.answer_with = 200
        self.page = 1000
        self.tells_counts = True
        self.says_more_by = 0
        self.cuts_after_bytes: int | None = None
        self.dies_after_instances: int | None = None
        self.dies_after_storing = False
        self.stores_in_s = 0.0
        self.refuses_storing = False
        self.drips_s = 0.0
        self.grows_by = 0
        self.takes_no_notice = False
        self.html = False
        self._go_on = threading.Event()
        self._go_on.set()

    def hang(self) -> None:
        """Take every request, and answer none, until :meth:`wake`."""
        self._go_on.clear()

    def wake(self) -> None:
        """Answer again, also those that wait."""
        self._go_on.set()

    def wait(self) -> None:
        """Wait while it hangs."""
        self._go_on.wait(30)

    def take(self, content: bytes) -> None:
        """Store an instance; one that is there stays one."""
        header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        self.modalities[str(header.SeriesInstanceUID)] = str(header.Modality)
        self.series.setdefault(str(header.SeriesInstanceUID), {})[str(header.SOPInstanceUID)] = content

    def segs(self) -> list[pydicom.Dataset]:
        """The SEGs that it holds."""
        series = [uid for uid, modality in self.modalities.items() if modality == "SEG"]
        return [pydicom.dcmread(BytesIO(content)) for uid in series for content in self.series.get(uid, {}).values()]

    def add(self, series: str = SERIES, slices: int = 6, first: int = 1, modality: str = "CT") -> None:
        """Slices of a series; those that are there stay."""
        self.modalities[series] = modality
        known = self.series.setdefault(series, {})
        for number in range(first, first + slices):
            uid = f"{series}.{number}"
            known[uid] = dicom_slice(series, uid, number)


def dicom_slice(series: str, uid: str, number: int) -> bytes:
    """One slice of 8 x 8 pixels at 2 mm x its number."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, uid, "CT"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = STUDY, series, "1.2.3.9"
    dataset.PatientID, dataset.PatientName, dataset.InstanceNumber = "P1", "Fake^One", number
    dataset.Rows = dataset.Columns = 8
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20260102", "101112", "1", ""
    dataset.ReferringPhysicianName, dataset.PatientBirthDate, dataset.PatientSex = "", "", ""
    dataset.PixelSpacing, dataset.SliceThickness = [1.5, 1.5], 2
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 2.0 * number], [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = (number % 128).to_bytes(2, "little") * 64
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, write_like_original=False)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """DICOMweb of one PACS."""

    protocol_version = "HTTP/1.1"
    pacs: FakePacs

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Lists and instances."""
        path, _, query = self.path.partition("?")
        self.pacs.asked["instance" if "/instances/" in path else path.rsplit("/", 1)[-1]] += 1
        self.pacs.wait()
        found = _ONE.search(path)
        if self.pacs.answer_with != 200:
            self.reply(b"no", "text/plain", self.pacs.answer_with)
        elif self.pacs.html:
            self.reply(b"<script>alert(1)</script>", "text/html")
        elif found:
            self.instance(found[2], found[3])
        else:
            offset = re.search(r"offset=(\d+)", query)
            start = int(offset[1]) if offset else 0
            listed = self.listed(path, query)[start : start + self.pacs.page]
            self.reply(json.dumps(listed).encode(), "application/dicom+json")

    def listed(self, path: str, query: str) -> list[dict[str, Any]]:
        """Instances of a series, or series."""
        pacs = self.pacs
        if path.endswith("/metadata"):
            contents = pacs.series.get(path.split("/")[-2], {}).values()
            headers = [pydicom.dcmread(BytesIO(content), stop_before_pixels=True) for content in contents]
            return [header.to_json_dict() for header in headers]
        if path.endswith("/instances"):
            return [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in pacs.series.get(path.split("/")[-2], {})]
        modality = None if pacs.takes_no_notice else re.search(r"Modality=(\w+)", query)
        return [
            {
                "0020000D": {"vr": "UI", "Value": [STUDY]},
                "0020000E": {"vr": "UI", "Value": [uid]},
                "00080060": {"vr": "CS", "Value": [pacs.modalities[uid]]},
                **({"00201209": {"vr": "IS", "Value": [len(slices) + pacs.says_more_by]}} if pacs.tells_counts else {}),
            }
            for uid, slices in pacs.series.items()
            if modality is None or pacs.modalities[uid] == modality[1]
        ]

    def instance(self, series: str, uid: str) -> None:
        """One instance, or the end of the PACS."""
        pacs = self.pacs
        if pacs.dies_after_instances is not None and pacs.asked["instance"] > pacs.dies_after_instances:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = b"--" + _BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + pacs.series[series][uid]
        body += b"\r\n--" + _BOUNDARY + b"--\r\n"
        if pacs.grows_by:
            pacs.add(first=len(pacs.series[SERIES]) + 1, slices=pacs.grows_by)
            pacs.grows_by = 0
        content_type = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY.decode()}'
        self.reply(body[: pacs.cuts_after_bytes], content_type)

    def do_POST(self) -> None:
        """Storing."""
        self.pacs.asked["store"] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.pacs.wait()
        time.sleep(self.pacs.stores_in_s)
        status = 409 if self.pacs.refuses_storing else self.pacs.answer_with
        if status != 200:
            self.reply(b"no", "text/plain", status)
            return
        if self.pacs.html:
            self.reply(b"<html>Log in, please</html>", "text/html")
            return
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        self.pacs.stored.append(content)
        if content[128:132] == b"DICM":
            self.pacs.take(content)
        if self.pacs.dies_after_storing:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.reply(b"{}", "application/dicom+json")

    def reply(self, body: bytes, content_type: str, status: int = 200) -> None:
        """One answer, with headers that must not reach a browser."""
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Set-Cookie", "theirs=1")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            for byte in body if self.pacs.drips_s else ():
                self.wfile.write(bytes((byte,)))
                time.sleep(self.pacs.drips_s)
            if not self.pacs.drips_s:
                self.wfile.write(body)


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    """A PACS that holds one series of six slices."""
    fake = FakePacs()
    fake.add()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"pacs": fake}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    fake.wake()
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(pacs: Any) -> PacsAddress:
    """Where it is; it may be silent for half a second."""
    return PacsAddress(pacs.url, read_s=0.5)


@pytest.fixture
def client(address: PacsAddress) -> DicomWeb:
    """A client of it."""
    return DicomWeb(address)


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    """Where series are kept."""
    return tmp_path / "series"


@pytest.fixture
def opened(pacs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Opens the datastore, as a server does unless it is told otherwise; a second one is a restart."""
    monkeypatch.setattr(sender, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(sender, "POLL_S", 0.2)
    running: list[Any] = []

    def open_(*, starts: bool = True, cache: Path = tmp_path / "cache", **settings: Any) -> Any:
        while running:
            running.pop().stop()
        store = PacsDatastore(
            PacsAddress(pacs.url, read_s=0.5),
            cache,
            0.2,
            lambda name: ("nano", "v2") if name == "m" else None,
            **settings,
        )
        running.append(store)
        if starts:
            store.start()
        return store

    yield open_
    while running:
        running.pop().stop()


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Submits a label: boxes of one slice each, by value."""

    def submit_(store: Any, places: dict[int, int], image: str = SERIES, tag: str = "final", **info: Any) -> None:
        values = np.zeros((8, 8, 6), np.uint8)
        for value, k in places.items():
            values[1:4, 2:6, k] = value
        affine = read_volume(store.get_image_uri(image)).affine if image in store.list_images() else np.eye(4)
        path = tmp_path / "label.nii.gz"
        nib.save(nib.Nifti1Image(values, affine), path)
        store.save_label(image, str(path), tag, {"label_info": SLICER, **info})

    return submit_


def wait_until(condition: Callable[[], Any], limit_s: float = 8.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)


def told(store: Any, image: str = SERIES) -> dict[str, Any]:
    """Return the state of an image's final label at the PACS."""
    return dict(store.get_label_info(image, "final")["pacs"])
