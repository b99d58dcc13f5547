"""An earlier scan with which a report compares: the same patient's, with both dates known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvlsam2.data.language.grounded import Prior
from medvlsam2.data.reading.dicom.study_origin import origin_of
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidRequest
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts import facts_of


def prior_dates(
    path: Path, earlier: Path, infos: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
) -> tuple[str, str]:
    """Return the dates of an earlier study and of this one, as YYYY-MM-DD.

    Args:
        path: file or folder of the scan that is reported.
        earlier: file or folder of the scan that it is compared with.
        infos: what was told of both; patient and date of a scan that is no DICOM come from there.

    Raises:
        InvalidRequest: if the two are not known to be of one patient, or the dates are not known or in another order.
    """
    now, then = origin_of(path, infos[0]), origin_of(earlier, infos[1])
    if now is None or then is None:
        which = "this scan" if now is None else "the earlier scan"
        raise InvalidRequest(
            f"Patient and date of {which} are not known; both scans need PatientID and StudyDate, in their DICOM "
            "files or in the information on the images. Leave out the earlier scan."
        )
    if now.patient != then.patient:
        raise InvalidRequest(
            "The earlier scan is of another patient: its PatientID differs. Choose one of the same patient."
        )
    if then.date >= now.date:
        raise InvalidRequest(
            f"The scan to compare with is of {then.date}, this one of {now.date}: choose an older one."
        )
    return then.date, now.date


def measured_prior(engine: Engine, volume: CTVolume, dates: tuple[str, str]) -> Prior:
    """Measure an earlier scan.

    Args:
        engine: the model.
        volume: the earlier scan.
        dates: of the earlier study and of the one that is reported (:func:`prior_dates`).

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    return Prior(facts_of(engine, volume).everything(), *dates)
