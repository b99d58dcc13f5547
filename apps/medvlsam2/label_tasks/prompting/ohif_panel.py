"""Five lines of OHIF's MONAI Label panel as this server sends them: it keeps what was not asked for, and says why not.

The panel of the host's OHIF replaces the whole label map by the answer of an Auto-Segmentation, so one phrase erased 25
segments; it hides the server's sentence behind "Failed"; and it takes clicks without a structure, for which it makes a
segment without a name. The files of the host stay as they are; another version of the panel is sent unchanged.
"""

from __future__ import annotations

from typing import Final

SENTENCE: Final = (
    "(error => { try { return JSON.parse(new TextDecoder().decode(error.response.data)).detail; } "
    "catch { return '%s'; } })(response)"
)
"""The server's own sentence, where it sent one."""
NO_STRUCTURE: Final = """if (!currentLabel || currentLabel === 'background') {
        this.notification.show({
          title: 'MONAI Label',
          message: 'A click belongs to a structure: choose one in the list, then click.',
          type: 'error',
          duration: 10000
        });
        return;
      }
      """

_POINTS: Final = """const nid = this.notification.show({
        title: 'MONAI Label - ' + model,
        message: 'Running Point Based Inference...'"""
EDITS: Final = (
    (
        "this.props.updateView(response, model, label_names);",
        "this.props.updateView(response, model, label_names, true);",
    ),
    (_POINTS, NO_STRUCTURE + _POINTS),
    *(
        (f"message: '{failed}'", f"message: {SENTENCE % failed}")
        for failed in (
            "Failed to Run Segmentation",
            "Failed to Run Inference for Point Prompts",
            "Failed to Run Class Based Inference",
        )
    ),
)
"""What stands in the panel once, and what is sent instead."""


def edited(script: str) -> str:
    """The script with all edits, or as it is where one of them does not fit exactly once."""
    if any(script.count(old) != 1 for old, _ in EDITS):
        return script
    for old, new in EDITS:
        script = script.replace(old, new)
    return script
