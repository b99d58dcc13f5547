"""Refuses unknown and repeated keys of queries and forms, so that nothing a client sends is dropped without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_origin

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute

from medvlsam2.data.reading.plain_names import shown
from medvlsam2.errors import InvalidRequest, nearest_hint

EVERYWHERE: Final = ("client_id",)
"""Keys that the query or the form of any route may have; they say who asks."""

FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")


async def check_query(request: Request) -> None:
    """Refuse keys of the query that the route does not know, and those given twice.

    Raises:
        InvalidRequest: naming the key and what is allowed.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = route.dependant.query_params
    problem = _problem("query", [key for key, _ in request.query_params.multi_items()], known)
    if problem:
        raise InvalidRequest(problem)


def check_form(request: Request, names: Iterable[str]) -> None:
    """Refuse fields of a form that the route does not know, and those given twice.

    Raises:
        HTTPException: 400, naming the field and what is allowed.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    problem = _problem("form", list(names), route.dependant.body_params)
    if problem:
        raise HTTPException(400, problem)


def require_form(request: Request) -> None:
    """Refuse a body that is no form; a request without a body is none.

    Raises:
        HTTPException: 415, naming the content type and what is allowed.
    """
    headers = request.headers
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0").strip() != "0"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind not in FORMS:
        given = f"is {shown(kind)}" if kind else "has no content type"
        raise HTTPException(
            415,
            f"The body of the request {given}, and this address takes a form. Send {' or '.join(FORMS)}, with JSON as "
            "the text of one of its fields.",
        )


def _problem(what: str, names: Sequence[str], known: Sequence[Any]) -> str:
    """The sentence about the first name that is not known or given twice; empty if all is well."""
    aliases = [field.alias for field in known]
    several = {field.alias for field in known if get_origin(field.field_info.annotation) is list}
    for name, count in Counter(names).items():
        if name not in aliases and name not in EVERYWHERE:
            listed = ", ".join((*aliases, *EVERYWHERE))
            hint = nearest_hint(name, aliases)
            told = f"The {what} has the key {shown(name)}, which is not known here."
            return " ".join(filter(None, (told, hint, f"Allowed: {listed}.")))
        if count > 1 and name not in several:
            return f"The {what} has the key {shown(name)} {count} times, and it takes one value. Give it once."
    return ""
