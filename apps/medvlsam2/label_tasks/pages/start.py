"""What the start page tells, gathered for one visitor."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol
from urllib.parse import urlsplit

from label_tasks.pages.studies import STATES, Listing, Study
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.model import version_folders
from medvlsam2.tasks.engine import Engine

PER_PAGE: Final = 24
"""Studies on one page: their pictures are drawn within half a minute."""


class App(Protocol):
    """What the page needs of the app."""

    engine: Engine
    studies: str


@dataclass(frozen=True)
class Asked:
    """Which studies a visitor wants to see."""

    q: str = ""
    """Part of a name."""
    state: str = ""
    """One of STATES; any other means all."""
    page: int = 1


@dataclass(frozen=True)
class Row:
    """One study on the page."""

    study: Study
    problem: str
    """Why it has no picture, if that is known already."""


@dataclass(frozen=True)
class Facts:
    """What ``start.html`` shows."""

    address: str
    """Of this server, as the visitor reached it; without a slash at its end."""
    model: str
    version: str
    device: str
    warnings: tuple[str, ...]
    is_remote: bool
    source: str
    total: int
    counts: Mapping[str, int]
    asked: Asked
    found: int
    rows: tuple[Row, ...]
    page: int
    pages: int
    example: str
    """Name of a study for commands to try; empty where there is none."""
    states: tuple[str, ...] = STATES


def facts(app: App, listing: Listing, asked: Asked, base_url: str, problem_of: Callable[[str], str]) -> Facts:
    """Gather the facts; nothing here waits for a disk of scans or a PACS.

    Args:
        app: the running app.
        listing: the studies.
        asked: which of them are wanted.
        base_url: address of the server as the visitor reached it.
        problem_of: why a study has no picture, if that is known.
    """
    chosen = [study for study in listing.studies if _wanted(study, asked)]
    pages = max(1, ceil(len(chosen) / PER_PAGE))
    page = min(max(asked.page, 1), pages)
    shown = chosen[(page - 1) * PER_PAGE : page * PER_PAGE]
    is_remote = app.studies.startswith(("http://", "https://"))
    counts = Counter(study.state for study in listing.studies)
    rows = tuple(Row(study, problem_of(study.image_id)) for study in shown)
    return Facts(
        address=base_url.rstrip("/"),
        model=app.engine.model_id,
        version=app.engine.version,
        device=app.engine.device,
        warnings=tuple(_warnings(app, listing, base_url, is_remote=is_remote)),
        is_remote=is_remote,
        source=_without_password(app.studies) if is_remote else "a local folder",
        total=len(listing.studies),
        counts={state: counts[state] for state in STATES},
        asked=asked,
        found=len(chosen),
        rows=rows,
        page=page,
        pages=pages,
        example=next((row.study.image_id for row in rows if not row.problem), ""),
    )


def _wanted(study: Study, asked: Asked) -> bool:
    return asked.q.lower() in study.image_id.lower() and (asked.state not in STATES or study.state == asked.state)


def _warnings(app: App, listing: Listing, base_url: str, *, is_remote: bool) -> list[str]:
    found = []
    try:
        version_folders.require_files(app.engine.model_dir)
    except MedVLSAM2Error as error:
        found.append(str(error))
    found += listing.problems
    if not listing.studies and not listing.problems:
        found.append(
            "The PACS holds no CT series."
            if is_remote
            else "The studies folder holds no scan. Put NIfTI, NRRD or MetaImage files or folders of DICOM slices "
            "there; 'medvlsam2 doctor --studies FOLDER' says why a file is left out."
        )
    if not _is_this_machine(urlsplit(base_url).hostname or ""):
        found.append(
            "This server has no login: everybody who reaches this address sees the studies and can change labels."
        )
    return found


def _is_this_machine(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
