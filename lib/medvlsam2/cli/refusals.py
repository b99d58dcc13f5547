"""Why the parser refuses a command line, in plain words.

The parser's own texts show Python's types and name no option that is near to a misspelt one.
"""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.errors import nearest_hint

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "numbers with commas between them",
}
_UNKNOWN: Final = re.compile(r"unrecognized arguments:.*?(?P<option>--[^\s=]+)", re.IGNORECASE)
_WRONG: Final = re.compile(
    r'Parser key "(?P<key>\w+)": (?P<wanted>.*?)(?:Given value type: .*)?(?:Got|Given) value: (?P<value>.*)'
)
_CHOICE: Final = re.compile(
    r"argument (?:-\w/)?(?P<option>--[\w-]+): invalid choice: '(?P<value>.*?)' \(choose from (?P<choices>.*)\)"
)


def in_words(reason: str, usage: str) -> str:
    r"""Why a command line is refused, as sentences.

    Args:
        reason: the parser's own text, on one line.
        usage: of the verb; all options stand in it.

    Example:
        >>> in_words("Parser key \"seed\": Expected a <class 'int'>. Got value: one", "[--seed SEED]")
        "--seed is 'one'; allowed: a whole number."
    """
    options = re.findall(r"--[\w-]+", usage)
    if unknown := _UNKNOWN.search(reason):
        hint = nearest_hint(unknown["option"], options, count=1)
        return f"Unknown option {unknown['option']}. {hint}".rstrip()
    if wrong := _WRONG.match(reason):
        written = {option.removeprefix("--").replace("-", "_"): option for option in options}
        option, value = written.get(wrong["key"], wrong["key"]), wrong["value"].strip("'")
        if allowed := _allowed(wrong["wanted"]):
            return f"{option} is '{value}'; allowed: {allowed}."
    if choice := _CHOICE.match(reason):
        choices = re.findall(r"'(.*?)'", choice["choices"])
        hint = nearest_hint(choice["value"], choices, count=1)
        return f"{choice['option']} is '{choice['value']}'; allowed: {', '.join(choices)}. {hint}".rstrip()
    return f"Wrong arguments: {reason}."


def _allowed(wanted: str) -> str:
    """The types that the parser wanted, in words; empty if there are others."""
    if count := re.search(r"tuple with (\d+) elements", wanted):
        return f"{count[1]} numbers with commas between them"
    names = dict.fromkeys(name for name in re.findall(r"<class '(\w+)'>", wanted) if name != "NoneType")
    return " or ".join(_TYPES[name] for name in names) if names.keys() <= _TYPES.keys() else ""
