"""Settings from texts. Precedence: the command line, then ``--conf``, then the environment, then the default.

Every text is checked, also one that a way of higher precedence overrules. So a wrong variable is told at once, and not
later, when somebody leaves out the option that overruled it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from medvlsam2.errors import InvalidConfig, nearest_hint
from medvlsam2.settings.record import PREFIX, SWITCH, ServerSettings, Setting, all_settings, as_text

OTHER_VARIABLES: Final = frozenset(
    {
        f"{PREFIX}LOG",  # the log's file, which serve.py tells the pages
        f"{PREFIX}DATA",  # of the tests: folder of real scans
        f"{PREFIX}E2E_REQUIRED",  # of the tests: no end-to-end test may be skipped
    }
)
"""Variables that begin like settings and are none."""
MEANT_SWITCH: Final = {"yes": "on", "true": "on", "1": "on", "no": "off", "false": "off", "0": "off"}
"""Other words for on and off. By letters alone the nearest of "no" would be "on"."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_HELP: Final = "'medvlsam2 serve --help' lists all settings."


def read(
    *,
    command_line: Mapping[str, str] | None = None,
    conf: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ServerSettings:
    """The settings of a server.

    Args:
        command_line: texts of options by the setting's name.
        conf: texts of ``--conf`` by the setting's name.
        environment: variables of the process; those that do not begin with ``MEDVLSAM2_`` are not looked at.

    Raises:
        InvalidConfig: on an unknown key or a value that is not allowed. The message has it as it was written, and the
            nearest allowed one.

    Example:
        >>> read(conf={"tta": "axes", "candidates": "2"}, environment={"MEDVLSAM2_CANDIDATES": "9"}).candidates
        2
    """
    given = _of_environment(environment or {})
    given |= {name: parse(setting, text, f"--conf {name}") for name, setting, text in _of_conf(conf or {})}
    for name, text in (command_line or {}).items():
        setting = all_settings()[name]
        given[name] = parse(setting, text, setting.option)
    return ServerSettings(**given)


def read_for_app(conf: Mapping[str, str], environment: Mapping[str, str]) -> ServerSettings:
    """The settings of the app inside the host.

    Args:
        conf: what the host was given with ``--conf``.
        environment: variables of the process.

    Raises:
        InvalidConfig: as :func:`read`, and on a setting that is the host's own matter by then.
    """
    for name in conf:
        setting = all_settings().get(name)
        if setting is not None and setting.about.at_start:
            raise InvalidConfig(
                f"--conf {name} has no effect here, because the host has started by now. Start the server with "
                f"'medvlsam2 serve {setting.option} …', or give the host's own option if there is one."
            )
    return read(conf=conf, environment=environment)


def from_environment(name: str, environment: Mapping[str, str]) -> Any:
    """One setting as the environment has it, or its default: for code that also runs without a server.

    Raises:
        InvalidConfig: if the value is not allowed.
    """
    setting = all_settings()[name]
    text = environment.get(setting.variable)
    return setting.default if text is None else parse(setting, text, setting.variable)


def variables(settings: ServerSettings) -> dict[str, str]:
    """The same settings as environment variables."""
    values = ((setting, getattr(settings, name)) for name, setting in all_settings().items())
    return {setting.variable: as_text(value) for setting, value in values if value is not None}


def parse(setting: Setting, text: str, written: str) -> Any:
    """The value that a text means.

    Args:
        setting: of which it is.
        text: as given.
        written: how the setting was written, for messages, e.g. "--conf tta".

    Raises:
        InvalidConfig: if it is not allowed.
    """
    value = _value(setting, text.strip())
    if value is not None:
        return value
    if not text.strip() and setting.kind is str and setting.default is None:
        return None
    hint = nearest_hint(text, setting.choices, count=1)
    if setting.kind is bool and text.lower() in MEANT_SWITCH:
        hint = f"Did you mean {MEANT_SWITCH[text.lower()]}?"
    raise InvalidConfig(
        f"{written} is '{text}'; allowed: {setting.allowed}. {hint + ' ' if hint else ''}"
        f"Give an allowed value, or leave {written} out."
    )


def _value(setting: Setting, text: str) -> Any:
    """The value; None if it is not allowed."""
    if setting.kind is bool:
        return SWITCH.get(text)
    if setting.choices:
        return text if text in setting.choices else None
    if setting.kind is tuple:
        return tuple(filter(None, map(str.strip, text.split(","))))
    if setting.kind is str:
        return text if text and re.fullmatch(setting.about.pattern or ".*", text) else None
    return _number(setting, text)


def _number(setting: Setting, text: str) -> int | float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    least, most = setting.about.least, setting.about.most
    if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
        return None
    if setting.kind is float:
        return value
    return int(text) if _WHOLE.fullmatch(text) else None


def _of_conf(conf: Mapping[str, str]) -> Iterator[tuple[str, Setting, str]]:
    known = all_settings()
    for name, text in conf.items():
        if name not in known:
            hint = nearest_hint(name, known, count=1)
            raise InvalidConfig(
                f"Unknown --conf key '{name}'. {hint + ' ' if hint else ''}Allowed: {', '.join(known)}. {_HELP}"
            )
        yield name, known[name], text


def _of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    known = {setting.variable: setting for setting in all_settings().values()}
    values = {}
    for variable, text in environment.items():
        if variable in known:
            values[known[variable].name] = parse(known[variable], text, variable)
        elif variable.startswith(PREFIX) and variable not in OTHER_VARIABLES:
            near = get_close_matches(variable.removeprefix(PREFIX).lower(), all_settings(), n=1, cutoff=0.5)
            meant = f"Did you mean {all_settings()[near[0]].variable}? " if near else ""
            raise InvalidConfig(f"Environment variable {variable} is no setting. {meant}Rename or unset it. {_HELP}")
    return values
