"""Colours of OHIF's panel: the project's table replaces the one that is compiled into the panel's script.

The panel chooses the colour of a segment by its label alone: from its own table, else from a number made of the label's
letters. Neither ``/info/`` nor a reply can set a colour, so the server changes the script on its way to the browser.
"""

from __future__ import annotations

import json
import re
from typing import Final

from label_tasks.prompting.phrase_segments import SEGMENTS
from medvlsam2.data.colours import colors_of
from medvlsam2.data.vocabulary import STRUCTURES

PANEL_SCRIPT: Final = "3933.bundle.92d0a0e9bc7e6861b7c9.js"
"""File of the host's wheel with the panel; a test fails if a new wheel has another file name."""
OWN_TABLE: Final = re.compile(r"(?<=const GenericAnatomyColors = )\[[^\]]*\](?=;)")


def our_table(_: re.Match[str]) -> str:
    """Return the table in JavaScript: labels in lower case, as the panel compares them, and their colours.

    Segments of phrases name no structure; their colours are chosen together, so that all differ.
    """
    colors = {structure.name: structure.color_rgb for structure in STRUCTURES.values()}
    colors |= dict(zip(SEGMENTS, colors_of([*SEGMENTS]), strict=True))
    rows = [{"label": name.lower(), "value": "#{:02x}{:02x}{:02x}".format(*rgb)} for name, rgb in colors.items()]
    return json.dumps(rows)
