"""Records from files become configuration dataclasses, or are refused with the offending key.

pydantic compares every value with its field's type. Nothing is converted: "256" is no whole number, and 1 is not true.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml
from yaml.constructor import ConstructorError

from medvlsam2.errors import InvalidConfig, MedVLSAM2Error, nearest_hint

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")

_SHOWN: Final = 5
"""Mistakes that one message names at most."""
_KINDS: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "dataclass_type": "keys with values",
}
"""pydantic's kinds of error and what is allowed, in words."""


def read_strictly(cls: type[T], record: Mapping[str, Any], source: str) -> T:
    """Build a configuration dataclass from a record whose keys and types must be right.

    Args:
        cls: the dataclass; its fields may be dataclasses, tuples (lists in the record), numbers, texts and literals.
        record: plain values, e.g. from YAML.
        source: where they are from, for messages, e.g. "'model/nano/config.yaml'".

    Raises:
        InvalidConfig: on an unknown or missing key, a value of another type, or one that is not among the allowed
            ones. The message names the key, and the nearest key or value that is allowed.
    """
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import to_json

    # As JSON, because there alone a list may stand for a tuple although nothing is converted.
    text = to_json(dict(record), inf_nan_mode="constants", bytes_mode="base64", fallback=str)
    try:
        return TypeAdapter(cls).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        told = [_sentence(cls, mistake) for mistake in mistakes[:_SHOWN]]
        more = f" There are {len(mistakes) - _SHOWN} more mistakes." if len(mistakes) > _SHOWN else ""
        raise InvalidConfig(f"The configuration in {source} is wrong. {' '.join(told)}{more} Correct it.") from None
    except MedVLSAM2Error as error:  # of the dataclass itself, about values that do not fit each other
        raise InvalidConfig(f"The configuration in {source} is wrong. {error}") from error


class OnceLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that stands twice: the first value would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Values by key."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _sentence(cls: type, mistake: ErrorDetails) -> str:
    """One mistake in words."""
    place, value = mistake["loc"], mistake["input"]
    key = _written(place)
    if mistake["type"] == "unexpected_keyword_argument":
        known = [field.name for field in fields(_type_at(cls, place[:-1]))]
        return f"There is no key '{key}'. {_hint(str(place[-1]), known)}Allowed there: {', '.join(sorted(known))}."
    if mistake["type"] == "missing" and isinstance(place[-1], str):
        return f"The key '{key}' is missing."
    if mistake["type"] in ("missing", "too_long"):  # of items of a list
        where = place[:-1] if mistake["type"] == "missing" else place
        count = len(get_args(_type_at(cls, where)))
        return f"'{_written(where)}' is {_shown(value)}; allowed: a list of {count} values."
    if mistake["type"] == "literal_error":
        choices = [str(choice) for choice in _choices_at(cls, place)]
        return f"'{key}' is {_shown(value)}; allowed: {' or '.join(choices)}. {_hint(str(value), choices)}".rstrip()
    return f"'{key}' is {_shown(value)}; allowed: {_allowed(mistake)}."


def _allowed(mistake: ErrorDetails) -> str:
    if mistake["type"] == "greater_than_equal":
        return f"{mistake['ctx']['ge']} or more"
    if mistake["type"] == "less_than" and math.isinf(mistake["ctx"]["lt"]):
        return "a finite number"
    return _KINDS.get(mistake["type"], mistake["msg"].removeprefix("Input should be "))


def _written(place: tuple[int | str, ...]) -> str:
    """A place in the record, e.g. ``sam2.hiera_stages[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _shown(value: Any) -> str:
    """A value as it stands in the record."""
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def _hint(given: str, allowed: list[str]) -> str:
    hint = nearest_hint(given, allowed, count=1)
    return f"{hint} " if hint else ""


def _type_at(cls: type, place: tuple[int | str, ...]) -> Any:
    """The type of a field, or of an item of a tuple."""
    found: Any = cls
    for part in place:
        if is_dataclass(found):
            found = get_type_hints(found, include_extras=False)[str(part)]
        elif isinstance(part, int):
            items = get_args(found)
            found = items[0] if items[-1] is Ellipsis else items[part]
    return found


def _choices_at(cls: type, place: tuple[int | str, ...]) -> Iterator[str]:
    found = _type_at(cls, place)
    for part in (found, *get_args(found)):  # a literal alone, or one or None
        if get_origin(part) is Literal:
            yield from get_args(part)
