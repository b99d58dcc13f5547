"""The host's OHIF gets our colours: its panel has a table of its own, which no reply can change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from monailabel.endpoints import ohif

from label_tasks.pages import ohif_colours, ohif_page
from label_tasks.prompting import ohif_panel
from label_tasks.prompting.phrase_segments import SEGMENTS
from medvlsam2.data.vocabulary import STRUCTURES


@pytest.fixture(scope="module")
def scripts() -> tuple[str, str]:
    """The panel's script as the host has it, and as we send it."""
    file = ohif.get_ohif(ohif_colours.PANEL_SCRIPT)
    sent = ohif_page.answer(file, is_remote=True)
    assert sent.media_type == file.media_type
    return Path(file.path).read_text(encoding="utf-8"), bytes(sent.body).decode()


def test_the_hosts_own_table_gives_both_kidneys_one_colour(scripts: tuple[str, str]) -> None:
    own = ohif_colours.OWN_TABLE.search(scripts[0])
    assert own is not None, "the wheel's OHIF has another panel script: find the file with GenericAnatomyColors"
    rows = dict(re.findall(r"label: '([^']*)',\s*value: rgbToHex\(([^)]*)\)", own[0]))
    assert rows["left kidney"] == rows["right kidney"]


def test_every_structure_has_our_colour_and_else_only_the_panels_lines_are_changed(scripts: tuple[str, str]) -> None:
    host, sent = scripts
    (table,) = ohif_colours.OWN_TABLE.findall(sent)
    rows = json.loads(table)
    colors = {row["label"]: row["value"] for row in rows}
    assert len(colors) == len(rows) == len(STRUCTURES) + len(SEGMENTS)
    for structure in STRUCTURES.values():
        assert colors[structure.name.lower()] == "#{:02x}{:02x}{:02x}".format(*structure.color_rgb)
    assert len({colors[name] for name in SEGMENTS}) == len(SEGMENTS), "two phrases in one colour"
    assert all(re.fullmatch("#[0-9a-f]{6}", colors[name]) for name in SEGMENTS)
    before, after = ohif_colours.OWN_TABLE.split(host)
    assert sent == ohif_panel.edited(before + table + after)
