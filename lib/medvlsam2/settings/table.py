"""The table of all settings in the app's README, made from the record: ``make settings``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from medvlsam2.settings.record import Setting, all_settings

START: Final = "<!-- settings: written by 'make settings' -->"
END: Final = "<!-- end of settings -->"
_HEADER: Final = ("setting", "option", "variable", "values", "default", "what it does")


def markdown() -> str:
    """The table."""
    rows = [_HEADER, ("---",) * len(_HEADER), *map(_row, all_settings().values())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def with_table(text: str) -> str:
    """A document with the table between its two marks."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{markdown()}\n{END}{after}"


def _row(setting: Setting) -> tuple[str, ...]:
    allowed = ", ".join(f"`{choice}`" for choice in setting.choices) or setting.allowed
    default = setting.default_text if setting.about.default_words else f"`{setting.default_text}`"
    return f"`{setting.name}`", f"`{setting.option}`", f"`{setting.variable}`", allowed, default, setting.about.help


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(with_table(document.read_text(encoding="utf-8")), encoding="utf-8")
