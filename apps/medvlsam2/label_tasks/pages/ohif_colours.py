"""The colours of OHIF's panel: our table instead of the one that is compiled into its script.

The panel colours a segment by its label alone: a table of its own names, else a number made of the label's letters.
Neither ``/info/`` nor a reply of ours can say a colour, so that its script is changed on its way to the browser.
"""

from __future__ import annotations

import json
import re
from typing import Final

from label_tasks.prompting.phrase_segments import SEGMENTS
from medvlsam2.data.colours import colors_of
from medvlsam2.data.vocabulary import STRUCTURES

PANEL_SCRIPT: Final = "3933.bundle.92d0a0e9bc7e6861b7c9.js"
"""The wheel's file that holds the panel; a test says so when a new wheel has another one."""
OWN_TABLE: Final = re.compile(r"(?<=const GenericAnatomyColors = )\[[^\]]*\](?=;)")


def our_table(_: re.Match[str]) -> str:
    """The table in JavaScript: the labels in small letters, as the panel compares them, and their colours.

    Segments of phrases name no structure; they are coloured together, so that each differs from the others.
    """
    colors = {structure.name: structure.color_rgb for structure in STRUCTURES.values()}
    colors |= dict(zip(SEGMENTS, colors_of([*SEGMENTS]), strict=True))
    rows = [{"label": name.lower(), "value": "#{:02x}{:02x}{:02x}".format(*rgb)} for name, rgb in colors.items()]
    return json.dumps(rows)
