"""Help text and table of the settings are complete and agree with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvlsam2.settings import table
from medvlsam2.settings.record import all_settings

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "apps" / "medvlsam2" / "README.md"


def test_the_help_lists_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    from medvlsam2.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["serve", "--help"])
    assert stop.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for setting in all_settings().values():
        assert f"{setting.option} " in said
        assert setting.about.help in said
        assert f"(default: {setting.default_text}; {setting.variable})" in said
    assert "An option overrules --conf, --conf the environment, and the environment the default." in said


def test_the_table_in_the_readme_is_the_records() -> None:
    text = README.read_text(encoding="utf-8")
    assert table.with_table(text) == text, "run 'make settings' and commit the table"
    assert text.count(table.START) == 1
    for setting in all_settings().values():
        assert f"| `{setting.name}` | `{setting.option}` | `{setting.variable}` |" in text


def test_a_table_replaces_the_one_between_its_marks() -> None:
    document = f"before\n{table.START}\nwhat was here\n{table.END}\nafter\n"
    once = table.with_table(document)
    assert once.startswith(f"before\n{table.START}\n\n| setting |")
    assert once.endswith(f"|\n\n{table.END}\nafter\n")
    assert "what was here" not in once
    assert table.with_table(once) == once
