"""What a request wants of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast, get_args

from label_tasks.prompting import fields
from label_tasks.prompting.fields import Request, shown
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.errors import InvalidRequest

_GROUNDED: Final = {"": True, "on": True, "true": True, "off": False, "false": False}


@dataclass(frozen=True)
class WantedReport:
    """A report that was asked for."""

    style: ReportStyle
    is_grounded: bool


def wanted_report(request: Request) -> WantedReport:
    """The options ``style`` and ``grounded`` of a request; by default a grounded narrative report.

    Raises:
        InvalidRequest: on a style or a value of ``grounded`` that is not allowed.
    """
    style = fields.choice(request, "style") or "narrative"
    if style not in get_args(ReportStyle):
        raise InvalidRequest(f"The option 'style' is {shown(style)}. Allowed: {', '.join(get_args(ReportStyle))}.")
    return WantedReport(cast(ReportStyle, style), _is_grounded(request))


def _is_grounded(request: Request) -> bool:
    if isinstance(request.get("grounded"), bool):
        return bool(request["grounded"])
    said = fields.choice(request, "grounded").lower()
    if said not in _GROUNDED:
        raise InvalidRequest(f"The option 'grounded' is {shown(said)}. Allowed: on, off.")
    return _GROUNDED[said]
