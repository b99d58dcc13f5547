"""DICOMweb client: lists series and instances, fetches an instance as a file, and stores an instance.

Every request has a time limit, and few requests may wait at once, so a PACS that hangs never blocks all threads of the
server. After a request without an answer, requests that a person waits for are refused at once for some seconds instead
of waiting as long again; requests in the background continue.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from label_tasks.pacs.address import PacsAddress, keep_addresses_out_of_the_log, login_refused
from label_tasks.pacs.answers import stow_answer
from label_tasks.pacs.multipart import message_of, write_only_part
from medvlsam2.errors import InvalidRequest, PacsUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")
Attributes = dict[str, Any]
"""One object of the DICOM JSON model: ``{"0020000E": {"vr": "UI", "Value": ["1.2.3"]}}``."""

STUDY_UID: Final = "0020000D"
SERIES_UID: Final = "0020000E"
INSTANCE_UID: Final = "00080018"
UID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.\-]{0,63}")
"""Accepted UIDs: more than DICOM allows, since some programs use names, but never a path."""
INSTANCE_COUNT: Final = "00201209"
"""NumberOfSeriesRelatedInstances, which a server may leave out."""

WAITING: Final = 6
"""Most requests of people that wait for the PACS at once: fewer than share the model (8), so that requests about scans
that are already here are answered meanwhile."""

REFUSED_FOR_S: Final = 5.0
"""Seconds for which others are refused after a request without an answer: short, so that a PACS is soon used again."""

ANSWER_LIMIT_S: Final = 300.0
"""Longest time for one whole answer, even if data keep arriving: an instance of 2 GB at 7 MB/s."""

_LIST_LIMIT_BYTES: Final = 256 * 2**20
"""Most bytes of a list: 100,000 series are about 100 MB of JSON."""

_PAGES: Final = 1000
_WHOLE_INSTANCE: Final = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
)
"""Accepted transfer syntaxes: as the instance is stored; some servers do not know the star."""

_JSON: Final = {"Accept": "application/dicom+json"}


class PacsSilent(PacsUnavailable):
    """A PACS that accepts requests and does not answer in time."""


class DicomWeb:
    """A client of one PACS, for any number of threads."""

    def __init__(self, address: PacsAddress, waiting: int = WAITING) -> None:
        self.address = address
        keep_addresses_out_of_the_log()
        limits = httpx.Limits(max_connections=2 * waiting + 4, max_keepalive_connections=4)
        self._http = httpx.Client(auth=address.auth, timeout=address.timeouts, limits=limits)
        self._slots = threading.BoundedSemaphore(waiting)
        self._refused_until_s = 0.0

    @contextmanager
    def for_people(self) -> Iterator[None]:
        """A person waits for the requests in this block: few run at once, and none right after one without an answer.

        Raises:
            PacsUnavailable: if the PACS cannot be asked now.
        """
        if time.monotonic() < self._refused_until_s:
            raise PacsUnavailable(f"The PACS has just not answered. Try again in {REFUSED_FOR_S:.0f} seconds.")
        if not self._slots.acquire(blocking=False):
            raise PacsUnavailable(f"{WAITING} requests already wait for the PACS. Try again in some seconds.")
        try:
            yield
        finally:
            self._slots.release()

    def series(self, **attributes: Any) -> list[Attributes]:
        """Return the series with these attributes, of all pages."""
        return self._search("series", attributes)

    def instances(self, study_uid: str, series_uid: str) -> list[Attributes]:
        """Return the instances of one series, of all pages."""
        return self._search(f"studies/{study_uid}/series/{series_uid}/instances", {})

    def metadata(self, study_uid: str, series_uid: str) -> list[Attributes]:
        """Return the headers of all instances of a series."""
        path = f"studies/{study_uid}/series/{series_uid}/metadata"
        return self._asked(lambda: self._list("wado", path, {}))

    def fetch(self, study_uid: str, series_uid: str, instance_uid: str, path: Path) -> int:
        """Write one instance, as it is stored, into a new file.

        Returns:
            Its size in bytes.
        """
        place = f"studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"

        def fetched() -> int:
            for accepted in _WHOLE_INSTANCE:
                with self._http.stream("GET", self.address.path("wado", place), headers={"Accept": accepted}) as reply:
                    if reply.status_code in {400, 406, 415} and accepted != _WHOLE_INSTANCE[-1]:
                        continue
                    _require_success(reply)
                    with path.open("wb") as file:
                        return write_only_part(reply.headers.get("content-type", ""), _in_time(reply), file)
            raise AssertionError("the last accepted type ends the loop")

        return self._asked(fetched)

    def store(self, header: Mapping[str, str], instance: bytes) -> None:
        """Store one DICOM file; an instance that the PACS already has counts as stored.

        An answer that does not name the instance as stored proves nothing: a login page also has HTTP status 200. Then
        the client asks the PACS for its list of the series.

        Args:
            header: UIDs of its study, its series and itself, by keyword.
            instance: content of the file.

        Raises:
            InvalidRequest: if the PACS refuses it.
            PacsUnavailable: if it does not answer, or does not have the instance afterwards.
        """
        study_uid, uid = header["StudyInstanceUID"], header["SOPInstanceUID"]
        content_type, body = message_of(instance)
        address = self.address.path("stow", f"studies/{study_uid}")

        def stored() -> bool:
            headers = {**_JSON, "Content-Type": content_type}
            with self._http.stream("POST", address, content=body, headers=headers) as reply:
                if reply.status_code in {400, 404, 409, 413, 415, 422}:
                    raise InvalidRequest(f"The PACS refused the label (HTTP {reply.status_code}). Ask its operator.")
                _require_success(reply)
                answer = b"".join(_limited(_in_time(reply), _LIST_LIMIT_BYTES))
            if stow_answer.refused(answer):
                raise InvalidRequest(f"The PACS refused the label (HTTP {reply.status_code}). Ask its operator.")
            return stow_answer.confirmed(answer, uid)

        if self._asked(stored):
            return
        there = {value(entry, INSTANCE_UID) for entry in self.instances(study_uid, header["SeriesInstanceUID"])}
        if uid not in there:
            raise PacsUnavailable(
                "The PACS answered as if it had stored the label, and does not list it. It is sent again; ask its "
                "operator whether something between this server and the PACS answers in its place."
            )

    def _search(self, path: str, attributes: Mapping[str, Any]) -> list[Attributes]:
        """Return all pages: servers may cut a list, so the client asks until a page brings nothing new."""

        def searched() -> list[Attributes]:
            found: dict[str, Attributes] = {}
            for _ in range(_PAGES):
                page = self._list("qido", path, {**attributes, **({"offset": len(found)} if found else {})})
                known = len(found)
                found.update({str(sorted(uids(entry).items())): entry for entry in page})
                if len(found) == known:
                    break
            return list(found.values())

        return self._asked(searched)

    def _list(self, service: str, path: str, query: Mapping[str, Any]) -> list[Attributes]:
        with self._http.stream("GET", self.address.path(service, path), params=dict(query), headers=_JSON) as reply:
            if reply.status_code in {204, 404} or (query.get("offset") and reply.status_code == 400):
                return []
            _require_success(reply)
            body = b"".join(_limited(_in_time(reply), _LIST_LIMIT_BYTES))
        if not body.strip():
            return []
        found = httpx.Response(200, content=body).json()
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise PacsUnavailable("The PACS answered with JSON that is no list of DICOM objects. Ask its operator.")
        return found

    def _asked(self, request: Callable[[], T]) -> T:
        """Return the result of a request; every cause of a missing answer becomes ``PacsUnavailable``."""
        try:
            answer = request()
        except httpx.TimeoutException as error:
            self._refused_until_s = time.monotonic() + REFUSED_FOR_S
            raise PacsSilent(
                f"The PACS does not answer within {self.address.read_s:g} seconds ({type(error).__name__}). Try again "
                "later, or ask its operator."
            ) from error
        except (httpx.HTTPError, ValueError) as error:
            self._refused_until_s = time.monotonic() + (REFUSED_FOR_S if isinstance(error, httpx.ConnectError) else 0)
            raise PacsUnavailable(
                f"The PACS cannot be asked ({type(error).__name__}). Try again later, or ask its operator."
            ) from error
        self._refused_until_s = 0.0
        return answer


def value(entry: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an attribute as text; empty if there is none.

    Example:
        >>> value({"0020000E": {"vr": "UI", "Value": ["1.2.3"]}}, "0020000E")
        '1.2.3'
    """
    attribute = entry.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return str(values[0]) if isinstance(values, list) and values and values[0] is not None else ""


def uids(entry: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that identify a study, a series or an instance."""
    return {tag: value(entry, tag) for tag in (STUDY_UID, SERIES_UID, INSTANCE_UID)}


def _require_success(reply: httpx.Response) -> None:
    if reply.status_code in {401, 403}:
        raise login_refused(reply.status_code)
    if not reply.is_success:
        raise PacsUnavailable(f"The PACS answered with HTTP {reply.status_code}. Try again later, or ask its operator.")


def _in_time(reply: httpx.Response) -> Iterator[bytes]:
    """Yield the body as it arrives, within the time limit for the whole answer."""
    end_s = time.monotonic() + ANSWER_LIMIT_S
    for chunk in reply.iter_bytes():
        if time.monotonic() > end_s:
            raise httpx.ReadTimeout("the whole answer takes too long", request=reply.request)
        yield chunk


def _limited(chunks: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit_bytes:
            raise PacsUnavailable(f"The PACS answered with a list of more than {limit_bytes} bytes. Narrow the search.")
        yield chunk
