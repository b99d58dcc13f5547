"""Content of the start page for one visitor."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from label_tasks.pages.studies import STATES, Study, StudyList
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.model import version_folders
from medvlsam2.tasks.engine.engine import Engine

PER_PAGE: Final = 24
"""Number of studies on one page: their pictures are drawn within half a minute."""
LISTED: Final = 10
"""Number of files that the page names as no study; 'medvlsam2 doctor' names all of them."""
_KINDS_OF_JOBS: Final = {"train": "training", "batch": "batch", "scoring": "scoring"}


class Jobs(Protocol):
    """The part of a job queue that the page uses."""

    def all(self) -> Sequence[Mapping[str, Any]]:
        """The last jobs, oldest first."""


class App(Protocol):
    """The part of the app that the page uses."""

    engine: Engine
    studies: str


@dataclass(frozen=True)
class StudyFilter:
    """The studies that a visitor wants to see."""

    q: str = ""
    """Part of the names of the studies."""
    state: str = ""
    """One of STATES; any other means all."""
    page: int = 1


@dataclass(frozen=True)
class StudyRow:
    """One study on the page."""

    study: Study
    problem: str
    """Why the study has no picture, if that is known already."""


@dataclass(frozen=True)
class Facts:
    """Values for the template ``start.html``."""

    address: str
    """Address of this server as the visitor reached it, without a slash at its end."""
    model: str
    version: str
    device: str
    warnings: tuple[str, ...]
    is_remote: bool
    source: str
    total: int
    counts: Mapping[str, int]
    asked: StudyFilter
    found: int
    rows: tuple[StudyRow, ...]
    page: int
    pages: int
    example: str
    """Id of a study for the example commands; empty if there is none."""
    left_out: tuple[str, ...]
    """Why files of the studies folder are no study."""
    states: tuple[str, ...] = STATES
    LISTED: int = LISTED


def is_remote(app: App) -> bool:
    """Whether the studies are in a PACS."""
    return app.studies.startswith(("http://", "https://"))


def studies_on_page(listing: StudyList, asked: StudyFilter) -> list[Study]:
    """Return the studies of the requested page, or of the last page if there are fewer pages."""
    return _chosen(listing, asked)[(_page(listing, asked) - 1) * PER_PAGE :][:PER_PAGE]


def facts(
    app: App, listing: StudyList, asked: StudyFilter, base_url: str, *, problem_of: Callable[[str], str], example: str
) -> Facts:
    """Collect the values for the page, without waiting for the scans' disk or a PACS.

    Args:
        app: the running app.
        listing: the studies.
        asked: the studies that the visitor wants to see.
        base_url: address of the server as the visitor reached it.
        problem_of: returns why a study has no picture, if that is known.
        example: name of a study for commands to try; empty where there is none.
    """
    in_a_pacs, counts = is_remote(app), Counter(study.state for study in listing.studies)
    return Facts(
        address=base_url.rstrip("/"),
        model=app.engine.model_id,
        version=app.engine.version,
        device=app.engine.device,
        warnings=tuple(_warnings(app, listing, base_url, in_a_pacs=in_a_pacs)),
        is_remote=in_a_pacs,
        source=_without_password(app.studies) if in_a_pacs else "a local folder",
        total=len(listing.studies),
        counts={state: counts[state] for state in STATES},
        asked=asked,
        found=len(_chosen(listing, asked)),
        rows=tuple(StudyRow(study, problem_of(study.image_id)) for study in studies_on_page(listing, asked)),
        page=_page(listing, asked),
        pages=_pages(listing, asked),
        example=example,
        left_out=listing.left_out,
    )


def of_jobs(queues: Mapping[str, Jobs]) -> tuple[str, ...]:
    """What runs and waits of trainings and other jobs, and whether the newest one failed.

    Args:
        queues: by the kind, as in the routes.
    """
    return tuple(sentence for kind, jobs in queues.items() for sentence in _of_kind(kind, jobs.all()))


def _of_kind(kind: str, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    what, states = _KINDS_OF_JOBS[kind], [job["status"] for job in jobs]
    waiting = states.count("SUBMITTED")
    for job in jobs:
        if job["status"] == "RUNNING":
            more = f" {waiting} more wait{'s' if waiting == 1 else ''}." if waiting else ""
            yield f"A {what} is running; it was asked for at {job['start_ts']}.{more}"
    ended = [job for job in jobs if job["status"] not in ("RUNNING", "SUBMITTED")]
    if ended and ended[-1]["status"] == "ERROR" and "RUNNING" not in states:
        yield f"The last {what}, which ended at {ended[-1]['end_ts']}, failed. The log says why."


def _chosen(listing: StudyList, asked: StudyFilter) -> list[Study]:
    of_state = [study for study in listing.studies if asked.state not in STATES or study.state == asked.state]
    return [study for study in of_state if asked.q.lower() in study.image_id.lower()]


def _pages(listing: StudyList, asked: StudyFilter) -> int:
    return max(1, ceil(len(_chosen(listing, asked)) / PER_PAGE))


def _page(listing: StudyList, asked: StudyFilter) -> int:
    return min(max(asked.page, 1), _pages(listing, asked))


def _warnings(app: App, listing: StudyList, base_url: str, *, in_a_pacs: bool) -> list[str]:
    found = []
    try:
        version_folders.require_files(app.engine.model_dir)
    except MedVLSAM2Error as error:
        found.append(str(error))
    found += listing.problems
    if not listing.studies and not listing.problems:
        found.append(
            "The PACS holds no CT series."
            if in_a_pacs
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
