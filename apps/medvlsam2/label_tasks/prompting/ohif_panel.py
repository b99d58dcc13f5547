"""Changes some lines of OHIF's MONAI Label panel on their way to the browser.

The panel of the host's OHIF has faults that lose an annotator's work or hide a reason:

* an answer of Auto-Segmentation replaced the whole label map, so one phrase erased 25 segments;
* the server's sentence was hidden behind "Failed", and its warnings were not shown at all;
* clicks without a structure made a segment without a name;
* classes and clicks of one call stayed in the options of the next;
* an answer that lies in voxels of other segments was "Successful" and showed nothing. The voxels still stay with those
  segments, but the panel now says so.

The files of the host stay as they are, and another version of the panel is sent unchanged.
"""

from __future__ import annotations

from typing import Final

SENTENCE: Final = (
    "(error => { try { return JSON.parse(new TextDecoder().decode(error.response.data)).detail; } "
    "catch { return '%s'; } })(response)"
)
"""The server's own sentence if it sent one; otherwise the panel's."""
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

WARNINGS_HEADER: Final = "Medvlsam2-Warnings"
"""Header with the warnings of a mask as a JSON list: the panel gets no JSON body beside a mask."""
_COUNT: Final = """else if (convertedData[i] && currentSegArray[i]) {
              const others = kept.get(convertedData[i]) || new Map();
              kept.set(convertedData[i], others.set(currentSegArray[i], (others.get(currentSegArray[i]) || 0) + 1));
            }"""
_TELL: Final = """const said = (() => {
          try { return JSON.parse(response.headers['medvlsam2-warnings']); } catch { return []; }
        })();
        const { info } = currentSegs;
        const nameOf = index => Object.keys(info).find(name => info[name].segmentIndex === index);
        const held = [];
        for (const [index, others] of kept) {
          const count = [...others.values()].reduce((sum, one) => sum + one, 0);
          const all = answeredVoxels.reduce((sum, one) => sum + (one === index), 0);
          if (count > 0.1 * all) {
            held.push(count + ' of ' + all + ' voxels of ' + nameOf(index) + ' (' +
              [...others.keys()].map(nameOf).join(', ') + ')');
          }
        }
        if (held.length) {
          const more = held.length > 4 ? '; and of ' + (held.length - 4) + ' more' : '';
          said.unshift('In other segments, which keep them: ' + held.slice(0, 4).join('; ') + more + '. Take them ' +
            'out there first, with background clicks, or segment the inner object before the outer one.');
        }
        if (said.length) {
          this.notification.show({
            title: 'MONAI Label - ' + model_id,
            message: said.join(' '),
            type: 'warning',
            duration: 15000
          });
        }
        """
"""Tells the server's warnings, and which segments keep more than a tenth of an object (neighbours always touch)."""

_POINTS: Final = """const nid = this.notification.show({
        title: 'MONAI Label - ' + model,
        message: 'Running Point Based Inference...'"""
_UPDATED: Final = """console.log("updated the segmentation's scalar data");"""
_WRITTEN: Final = """              currentSegArray[i] = convertedData[i];
            }"""
_OPTIONS: Final = "config && config.infer && config.infer[model] ? config.infer[model] : {}"
EDITS: Final = (
    (
        "this.props.updateView(response, model, label_names);",
        "this.props.updateView(response, model, label_names, true);",
        1,
    ),
    (_POINTS, NO_STRUCTURE + _POINTS, 1),
    (_OPTIONS, "config && config.infer && config.infer[model] ? { ...config.infer[model] } : {}", 3),
    (
        "let convertedData = data;",
        "const kept = new Map();\n        let convertedData = data;",
        1,
    ),
    (
        "        if (override === true) {\n",
        "        const answeredVoxels = convertedData;\n        if (override === true) {\n",
        1,
    ),
    (_WRITTEN, f"{_WRITTEN} {_COUNT}", 1),
    (_UPDATED, _TELL + _UPDATED, 1),
    *(
        (f"message: '{failed}'", f"message: {SENTENCE % failed}", 1)
        for failed in (
            "Failed to Run Segmentation",
            "Failed to Run Inference for Point Prompts",
            "Failed to Run Class Based Inference",
        )
    ),
)
"""Text of the panel, the text that is sent instead, and how often the first occurs."""


def edited(script: str) -> str:
    """The script with all edits; unchanged if one of them does not fit exactly."""
    if any(script.count(old) != times for old, _, times in EDITS):
        return script
    for old, new, _ in EDITS:
        script = script.replace(old, new)
    return script
