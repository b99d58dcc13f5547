"""What a request wants of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast, get_args

from label_tasks.infer.prior_scan import PriorScan
from label_tasks.prompting import fields
from label_tasks.prompting.fields import Request, shown
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.errors import InvalidRequest

PRIOR: Final = "prior_scan"
"""Key of the app's request under which it hands over the earlier scan with which the report compares."""
_GROUNDED: Final = {"": True, "on": True, "true": True, "off": False, "false": False}


@dataclass(frozen=True)
class WantedReport:
    """A report that was asked for."""

    style: ReportStyle
    is_grounded: bool
    prior: PriorScan | None = None
    """The earlier scan with which the report compares."""


def wanted_report(request: Request) -> WantedReport:
    """The options ``style``, ``grounded`` and ``prior`` of a request; by default a grounded narrative report.

    Raises:
        InvalidRequest: on a style or a value of ``grounded`` that is not allowed, and on an earlier scan with a report
            that is not grounded.
    """
    style = fields.choice(request, "style") or "narrative"
    if style not in get_args(ReportStyle):
        raise InvalidRequest(f"The option 'style' is {shown(style)}. Allowed: {', '.join(get_args(ReportStyle))}.")
    grounded, given = is_grounded(request), request.get(PRIOR)
    # Clients send JSON, so none of them can put a record of this class there.
    prior = given if isinstance(given, PriorScan) else None
    if prior is not None and prior.is_named and not grounded:
        raise InvalidRequest(
            f"The options 'prior' ({shown(request.get('prior'))}) and 'grounded' (off) exclude each other, because a "
            "comparison needs measurements. Leave out one of them."
        )
    return WantedReport(cast(ReportStyle, style), grounded, prior if grounded else None)


def is_grounded(request: Request) -> bool:
    """The option ``grounded`` of a request: whether measurements prove the text; by default they do.

    Raises:
        InvalidRequest: on a value that is not allowed.
    """
    if isinstance(request.get("grounded"), bool):
        return bool(request["grounded"])
    said = fields.choice(request, "grounded").lower()
    if said not in _GROUNDED:
        raise InvalidRequest(f"The option 'grounded' is {shown(said)}. Allowed: on, off.")
    return _GROUNDED[said]
