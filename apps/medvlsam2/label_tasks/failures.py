"""Our errors as HTTP answers.

The host has no exception handler: any other exception reaches a client as a bare "Internal Server Error", an
``HTTPException`` arrives as JSON with its sentence. So every task translates the one error family here;
what is not in the family is a bug, stays a 500, and leaves its traceback in the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import HTTPException

from medvlsam2.errors import (
    AlreadyThere,
    Cancelled,
    CheckpointMismatch,
    DeviceFull,
    FolderBusy,
    InvalidRequest,
    MedVLSAM2Error,
    MissingCheckpoint,
    NotAllowed,
    PacsUnavailable,
    StorageFull,
    Superseded,
    TooLarge,
    TooMany,
    UnknownImage,
    UnknownLabel,
    VolumeTooLarge,
)

_STATUS: Final[tuple[tuple[type[MedVLSAM2Error], int], ...]] = (
    (InvalidRequest, 400),
    (NotAllowed, 403),
    (UnknownImage, 404),
    (UnknownLabel, 404),
    (Superseded, 409),
    (AlreadyThere, 409),
    (VolumeTooLarge, 413),
    (Cancelled, 409),
    (TooLarge, 413),
    (TooMany, 429),
    (MissingCheckpoint, 503),
    (CheckpointMismatch, 503),
    (DeviceFull, 503),
    (PacsUnavailable, 503),
    (FolderBusy, 503),
    (StorageFull, 507),
    (MedVLSAM2Error, 422),
)


def status_of(error: MedVLSAM2Error) -> int:
    """HTTP status of an error of our family.

    Example:
        >>> status_of(UnknownImage("Image 'x' is not in the datastore."))
        404
    """
    return next(status for kind, status in _STATUS if isinstance(error, kind))


@contextmanager
def errors_as_http() -> Iterator[None]:
    """Turn our errors into ``HTTPException`` with the same sentence."""
    try:
        yield
    except MedVLSAM2Error as error:
        raise HTTPException(status_code=status_of(error), detail=str(error)) from error
