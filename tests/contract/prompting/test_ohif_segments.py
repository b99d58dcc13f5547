"""In OHIF an answer changes only the requested segments."""

from __future__ import annotations

from pathlib import Path

import monailabel
import pytest

from label_tasks.infer.requests import Target, referring
from label_tasks.pages.ohif_colours import PANEL_SCRIPT
from label_tasks.prompting import ohif_panel, phrase_segments, shared_clicks
from label_tasks.prompting.phrase_segments import SEGMENTS, PhraseSegments
from label_tasks.prompting.shared_clicks import SharedClicks
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.prompts import ObjectPrompt

PLACE = ("annotator", "scan")
A, B, C, BESIDE, OTHER = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (4.0, 5.0, 7.0), (7.0, 8.0, 9.0), (9.0, 9.0, 9.0)
OHIF = Path(monailabel.__file__).parent / "endpoints" / "static" / "ohif"


def values(segments: PhraseSegments, phrase: str, chosen: tuple[int, ...] = (), place: object = PLACE) -> list[int]:
    return [target.value for target in segments.place(place, referring({"prompt": phrase}), chosen)]


def test_every_phrase_has_a_segment_of_its_own() -> None:
    """Without this, a second phrase would replace the first."""
    segments = PhraseSegments()
    assert values(segments, "left renal cyst") == [1]
    assert values(segments, "spleen and liver") == [2, 3]
    assert values(segments, "Left renal cyst") == [1], "the same phrase again"
    assert values(segments, "aorta", place=("annotator", "another scan")) == [1]
    assert values(segments, "aorta", chosen=(2,)) == [2], "ticked under Class Prompts"
    assert values(segments, "spleen") == [4], "its segment was given to another phrase"


def test_no_segment_is_taken_from_a_phrase() -> None:
    segments = PhraseSegments()
    for number in range(1, len(SEGMENTS) + 1):
        assert values(segments, f"vertebra T{number}") == [number]
    with pytest.raises(InvalidPrompt, match="Tick the one to be replaced"):
        values(segments, "liver")


def test_a_phrase_that_is_not_found_takes_no_segment() -> None:
    """Eight phrases that find nothing must not use up the segments, so that later phrases are not refused."""
    segments = PhraseSegments()
    placed = segments.place(PLACE, referring({"prompt": "spleen"}), ())
    segments.settle(PLACE, placed, [True])
    for number in range(1, 13):
        missing = segments.place(PLACE, referring({"prompt": f"vertebra T{number}"}), ())
        assert [target.value for target in missing] == [2]
        segments.settle(PLACE, missing, [False])
    both = segments.place(PLACE, referring({"prompt": "liver, aorta"}), ())
    assert [target.value for target in both] == [2, 3]
    segments.settle(PLACE, both, [False, True])
    assert values(segments, "pancreas") == [2]
    again = segments.place(PLACE, referring({"prompt": "spleen"}), ())
    segments.settle(PLACE, again, [False])
    assert values(segments, "stomach") == [4], "the spleen's segment still holds what was found before"
    assert values(segments, "aorta") == [3]


def test_phrases_of_the_annotator_who_asked_longest_ago_are_forgotten() -> None:
    segments = PhraseSegments()
    for number in range(phrase_segments.KEPT):
        assert values(segments, "left kidney", place=number) == [1]
    assert values(segments, "spleen", place=0) == [2], "number 0 has asked last"
    assert values(segments, "liver", place="another") == [1]
    assert values(segments, "liver", place=0) == [3]
    assert values(segments, "liver", place=1) == [1], "number 1 was forgotten"


def clicked(*points: tuple[tuple[float, float, float], int], text: str | None = None) -> Target:
    places, labels = tuple(point for point, _ in points), tuple(label for _, label in points)
    return Target(1, ObjectPrompt(text=text, points_ijk=places, point_labels=labels))


@pytest.mark.parametrize("texts", [("liver", "spleen"), (None, None)])
def test_a_background_click_belongs_to_the_object_it_was_made_for(texts: tuple[str | None, str | None]) -> None:
    clicks = SharedClicks()
    first = clicked((A, 1), (BESIDE, 0), text=texts[0])
    assert clicks.own(PLACE, first) == (first, ())
    second, notes = clicks.own(PLACE, clicked((B, 1), (BESIDE, 0), (OTHER, 0), text=texts[1]))
    assert second.prompt.points_ijk == (B, OTHER)
    assert "1 background clicks belong to an object that was segmented before" in notes[0]
    again, _ = clicks.own(PLACE, clicked((A, 1), (C, 1), (BESIDE, 0), (OTHER, 0), text=texts[0]))
    assert again.prompt.points_ijk == (A, C, BESIDE)
    elsewhere = clicked((B, 1), (BESIDE, 0), text=texts[1])
    assert clicks.own(("annotator", "another scan"), elsewhere) == (elsewhere, ())


def test_clicks_of_the_annotator_who_clicked_longest_ago_are_forgotten() -> None:
    clicks, liver, spleen = SharedClicks(), clicked((A, 1), (BESIDE, 0), text="liver"), clicked((B, 1), (BESIDE, 0))
    for number in range(shared_clicks.KEPT):
        clicks.own(number, liver)
    assert clicks.own(0, spleen)[1], "number 0 has clicked last"
    clicks.own("another", liver)
    assert clicks.own(0, spleen)[1]
    assert not clicks.own(1, spleen)[1], "number 1 was forgotten"


def test_the_panel_as_it_is_sent_keeps_other_segments_and_says_why_not() -> None:
    (panel,) = (path for path in OHIF.glob("*.js") if "Running Auto-Segmentation" in path.read_text(encoding="utf-8"))
    script = panel.read_text(encoding="utf-8")
    sent = ohif_panel.edited(script)
    assert panel.name == PANEL_SCRIPT
    assert sent.count("updateView(response, model, label_names, true)") == 1 + script.count(
        "updateView(response, model, label_names, true)"
    )
    assert sent.count("JSON.parse(new TextDecoder().decode(error.response.data)).detail") == 3
    assert "choose one in the list, then click" in sent
    assert sent.count("config.infer[model] ? { ...config.infer[model] } : {}") == 3
    assert sent.count("response.headers['medvlsam2-warnings']") == 1
    assert ohif_panel.WARNINGS_HEADER.lower() == "medvlsam2-warnings"
    assert ohif_panel.edited("another version of the panel") == "another version of the panel"
