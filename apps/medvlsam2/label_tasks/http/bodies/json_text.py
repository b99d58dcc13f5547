"""The one reader of JSON that clients send: an object of bounded depth and size, with ordinary numbers and text."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from fastapi import Request

from medvlsam2.data.reading.plain_names import REPLACEMENT, shown
from medvlsam2.errors import InvalidRequest

MAX_DEPTH: Final = 16
"""Levels of lists and objects inside each other; the deepest JSON of a viewer (coded label information) has 6."""
MAX_NUMBER_CHARACTERS: Final = 40
"""Characters of one number; a double has at most 24."""
MAX_WHOLE: Final = 2**53
"""Largest whole number: beyond it JavaScript's numbers, and so OHIF's, are no longer exact."""


async def json_body(request: Request) -> dict[str, Any]:
    """The body of a request as a JSON object; an empty body is an empty object.

    Raises:
        InvalidRequest: see :func:`read_object`.
    """
    return read_object(await request.body(), "The body of the request")


def read_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: the JSON; empty means an empty object.
        what: what is read, as the start of a message, e.g. "The field 'params'".

    Raises:
        InvalidRequest: if it is no JSON object, or holds what no reader agrees on: a name twice, a number that is not
            finite or too large, half a surrogate pair, or too many levels.

    Example:
        >>> read_object('{"prompt": "liver"}', "The field 'params'")
        {'prompt': 'liver'}
    """
    source = _decoded(text, what)
    if not source.strip() or source.strip() == "null":
        return {}
    try:
        record = json.loads(
            source,
            parse_int=lambda digits: _whole(digits, what),
            parse_float=lambda digits: _float(digits, what),
            parse_constant=lambda name: _refuse(
                f"{what} is not JSON: {name} is no number of it. Give a finite number."
            ),
            object_pairs_hook=lambda pairs: _object(pairs, what),
        )
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{what} is not JSON ({error.msg} at character {error.pos}): {shown(source)}. "
            'Send an object, e.g. {"prompt": "liver"}.'
        ) from error
    except RecursionError as error:
        raise InvalidRequest(_too_deep(what)) from error
    if not isinstance(record, dict):
        raise InvalidRequest(f'{what} is {shown(source)}, not a JSON object. Send one, e.g. {{"prompt": "liver"}}.')
    _check(record, what)
    return record


def _decoded(text: str | bytes, what: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not UTF-8 (byte {error.start}). Send JSON as UTF-8.") from error


def _check(record: object, what: str) -> None:
    """Look at every value, without recursion."""
    waiting: list[tuple[object, int]] = [(record, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidRequest(_too_deep(what))
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for item in (*value.keys(), *value.values())]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            _refuse(f"{what} is not plain text: {shown(value)} holds half a surrogate pair. Send whole characters.")
        elif isinstance(value, str) and REPLACEMENT in value:
            _refuse(f"{what} is not plain text: {shown(value)} holds what is left of bytes that were no UTF-8.")


def _object(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse(f"{what} is ambiguous: it gives {shown(key)} twice. Give each name once.")
        found[key] = value
    return found


def _whole(digits: str, what: str) -> int:
    if len(digits) > MAX_NUMBER_CHARACTERS or abs(number := int(digits)) > MAX_WHOLE:
        _refuse(f"{what} is out of range: {shown(digits, 24)} is above {MAX_WHOLE}. Give a smaller one.")
    return number


def _float(digits: str, what: str) -> float:
    if len(digits) > MAX_NUMBER_CHARACTERS or not math.isfinite(number := float(digits)):
        _refuse(f"{what} is out of range: {shown(digits, 24)} is too long or too large. Give a shorter one.")
    return number


def _too_deep(what: str) -> str:
    return f"{what} is too deep: it has more than {MAX_DEPTH} lists or objects inside each other. Send fewer levels."


def _refuse(sentence: str) -> Any:
    raise InvalidRequest(sentence)
