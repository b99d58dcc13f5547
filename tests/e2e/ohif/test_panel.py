"""A radiologist in OHIF: a browser opens a phantom from a PACS, and the panel's buttons and clicks bring masks."""

from __future__ import annotations

import io
from typing import Any

import nrrd
import numpy as np
import pytest
from scipy import ndimage


def test_the_panel_finds_its_server_and_shows_its_tasks(connected: Any, pacs_server: Any) -> None:
    page = connected.page
    assert page.locator("#monailabelServerURL").input_value() == f"{pacs_server.url}/"
    assert page.locator(".monaiLabelPanel .subtitle").inner_text() == "MedVL-SAM2"
    listed = [option.strip() for option in connected.tab("Auto-Segmentation").locator("option").all_inner_texts()]
    assert {"medvlsam2_semantic", "medvlsam2_referring", "medvlsam2_prompts"} <= set(listed)
    clicked = connected.tab("Point Prompts").locator("option").all_inner_texts()
    assert [option.strip() for option in clicked] == ["medvlsam2_interactive", "medvlsam2_prompts"]
    phrases = ["referred object", *(f"referred object {number}" for number in range(2, 9))]
    assert list(connected.segments()) == ["left kidney", "liver", *phrases, "right kidney", "spleen"]


def test_nothing_is_asked_from_elsewhere(connected: Any, pacs_server: Any) -> None:
    """The viewer works in a closed network: its page names no foreign address, and its policy forbids the others."""
    assert {url for url in connected.requested if not url.startswith((pacs_server.url, "blob:", "data:"))} == set()
    reply = pacs_server.get("/ohif/")
    assert "https://" not in reply.text
    assert "default-src 'self'; script-src 'self'" in reply.headers["content-security-policy"]
    assert "Orthanc Server" not in pacs_server.get("/ohif/app-config.js").text


def test_the_start_page_leads_to_the_study_in_the_viewer(connected: Any, pacs_server: Any, orthanc: str) -> None:
    page = connected.page.context.new_page()
    page.goto(pacs_server.url)
    words = page.locator("main").inner_text()
    assert f"{orthanc}/dicom-web" in words
    assert "Examined 2026-01-01" in words
    assert "Phantom" not in words, "a page that anybody opens names no patient"
    page.get_by_role("link", name="Open in OHIF").first.click()
    connected.wait_until_loaded(page)
    page.close()


def test_the_viewer_holds_the_scan_in_our_order(connected: Any, phantom: Any) -> None:
    """Voxel (i, j, k) of the viewer is voxel (i, j, k) here; all clicks and masks below depend on this."""
    np.testing.assert_array_equal(connected.scan_hu(), phantom.volume.hu)


def test_segments_have_the_colours_of_our_table(connected: Any) -> None:
    """The panel's own table gives both kidneys the same colour."""
    from medvlsam2.data import vocabulary
    from medvlsam2.data.colours import colors_of

    shown = connected.colours()
    for name in ("left kidney", "right kidney", "liver", "spleen"):
        assert shown[name] == vocabulary.find(name).color_rgb
    phrases = [name for name in shown if name.startswith("referred object")]
    assert tuple(shown[name] for name in phrases) == tuple(colors_of(phrases)), "each phrase has a colour of its own"


def test_a_class_prompt_fills_its_segment(panel: Any, pacs_server: Any, series: str) -> None:
    tab = panel.tab("Class Prompts")
    tab.locator("select").select_option("medvlsam2_prompts")
    before = panel.picture()
    tab.locator("tr", has_text="liver").locator("input").check()
    answer = panel.run(tab)
    tab.locator("tr", has_text="liver").locator("input").uncheck()
    assert (answer.model, answer.params["label_prompt"], answer.status) == ("medvlsam2_prompts", [1], 200)
    mask = server_mask(pacs_server, answer, series)
    assert_no_symmetry(mask == 1)
    np.testing.assert_array_equal(panel.label_map(), np.where(mask == 1, panel.segments()["liver"], 0))
    panel.page.wait_for_timeout(500)
    after = panel.picture()
    changed = (np.abs(after - before) > 20).any(axis=2)
    body = before.sum(axis=2) > 60
    assert changed[body].mean() > 0.01, "most of the viewport is black; the segment is on the body"
    assert (np.ptp(after[changed], axis=1) > 40).mean() > 0.9, "what appeared is a colour, and the scan is grey"
    assert "PromptsTask answered in" in pacs_server.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["medvlsam2_prompts", "medvlsam2_interactive"])
def test_a_click_lands_on_the_organ_under_the_mouse(
    panel: Any, pacs_server: Any, phantom: Any, series: str, model: str
) -> None:
    tab = panel.tab("Point Prompts")
    tab.locator("select").select_option(model)
    tab.locator("tr.clickable-row", has_text="spleen").click()
    place = deepest_voxel(phantom, "spleen")
    panel.click_voxel(place)
    answer = panel.run(tab)
    tab.get_by_text("Clear All Points").click()
    assert (answer.model, answer.status) == (model, 200)
    (clicked,) = answer.params["points" if model == "medvlsam2_prompts" else "foreground"]
    assert np.abs(np.subtract(clicked, place)).max() <= 1
    assert phantom.labels[phantom.label_map[tuple(clicked)]] == "spleen"
    mask = server_mask(pacs_server, answer, series)
    assert_no_symmetry(mask > 0)
    np.testing.assert_array_equal(panel.label_map(), np.where(mask > 0, panel.segments()["spleen"], 0))


def test_a_structure_named_in_the_options_keeps_its_own_segment(panel: Any) -> None:
    """OHIF reads a value as a published id, Slicer as a place in the reply's list; a spleen must not become a liver."""
    panel.page.get_by_text("Options / Configurations").first.click()
    panel.page.locator("#infermedvlsam2_semanticstructures").fill("spleen")
    panel.page.get_by_role("button", name="Confirm").click()
    tab = panel.tab("Auto-Segmentation")
    tab.locator("select").select_option("medvlsam2_semantic")
    answer = panel.run(tab)
    assert (answer.params["structures"], answer.status) == ("spleen", 200)
    assert set(np.unique(panel.label_map())) == {0, panel.segments()["spleen"]}


def test_each_phrase_fills_a_segment_of_its_own_and_takes_no_voxel_of_another(
    panel: Any, pacs_server: Any, series: str
) -> None:
    """A second phrase must not replace the first; a phrase inside another segment must not show nothing."""
    assert panel.phrase("liver").status == 200
    first = panel.label_map()
    index = panel.segments()["referred object"]
    assert set(np.unique(first)) == {0, index}
    assert panel.phrase("no spleen").status == 422
    assert "no spleen" in panel.said()
    np.testing.assert_array_equal(panel.label_map(), first)
    assert panel.phrase("spleen").status == 200
    second = panel.label_map()
    np.testing.assert_array_equal(second == index, first == index)
    asked = panel_mask(pacs_server, series, "spleen")
    np.testing.assert_array_equal(second == panel.segments()["referred object 2"], asked & (first != index))
    kept = f"{(asked & (first == index)).sum()} of {asked.sum()} voxels of referred object 2 (referred object)"
    assert (kept in panel.said()) == bool((asked & (first == index)).sum() > 0.1 * asked.sum())
    assert panel.phrase("liver").status == 200
    np.testing.assert_array_equal(panel.label_map(), second)


def test_what_was_chosen_for_one_call_is_not_kept_for_the_next(panel: Any) -> None:
    """The panel kept the classes of Class Prompts in its options, and Auto-Segmentation then used only these."""
    assert panel.phrase("liver").status == 200
    tab = panel.tab("Class Prompts")
    tab.locator("select").select_option("medvlsam2_referring")
    tab.locator("tr", has_text="referred object 5").locator("input").check()
    assert panel.press(tab).status == 200
    tab.locator("tr", has_text="referred object 5").locator("input").uncheck()
    assert set(np.unique(panel.label_map())) <= {0, *(panel.segments()[f"referred object{n}"] for n in ("", " 5"))}
    answer = panel.phrase("right kidney")
    assert "label_prompt" not in answer.request.post_data


def test_a_scan_of_a_tilted_gantry(open_panel: Any, pacs_server: Any, phantom: Any, tilted_series: str) -> None:
    """OHIF stacks the slices without the tilt; each mask must still be on its own slice."""
    panel = open_panel("Gantry, Tilted")
    np.testing.assert_array_equal(panel.scan_hu(), phantom.volume.hu)
    tab = panel.tab("Point Prompts")
    tab.locator("select").select_option("medvlsam2_prompts")
    tab.locator("tr.clickable-row", has_text="spleen").click()
    place = deepest_voxel(phantom, "spleen")
    panel.click_voxel(place)
    answer = panel.run(tab)
    assert np.abs(np.subtract(answer.params["points"][0], place)).max() <= 1
    mask = server_mask(pacs_server, answer, tilted_series)
    assert_no_symmetry(mask > 0)
    np.testing.assert_array_equal(panel.label_map(), np.where(mask > 0, panel.segments()["spleen"], 0))
    panel.page.wait_for_timeout(500)
    assert "The gantry was tilted by 15" in panel.said()


def test_the_study_list_can_be_searched(pacs_server: Any) -> None:
    def found(name: str) -> int:
        reply = pacs_server.get(f"/proxy/dicom/qido/studies?PatientName={name}")
        return len(reply.json()) if reply.content else 0

    assert (found("*Phantom*"), found("*Nobody*")) == (1, 0)


@pytest.mark.parametrize("path", ["wado/%2e%2e/system", "%2e%2e/system", "qido/%252e%252e/system"])
def test_only_dicomweb_of_the_pacs_can_be_asked(pacs_server: Any, path: str) -> None:
    reply = pacs_server.get(f"/proxy/dicom/{path}")
    assert (reply.status_code, "DICOMweb path" in reply.json()["detail"]) == (400, True)


def deepest_voxel(phantom: Any, structure: str) -> tuple[int, int, int]:
    """The voxel of a structure that is farthest from its surface."""
    (value,) = (value for value, key in phantom.labels.items() if key == structure)
    depth = ndimage.distance_transform_edt(phantom.label_map == value)
    i, j, k = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(i), int(j), int(k)


def server_mask(server: Any, answer: Any, series: str) -> np.ndarray:
    """Return the server's mask for the same request without a browser."""
    reply = server.infer(answer.model, series, answer.params, output="image")
    assert reply.status_code == 200, reply.text
    file = io.BytesIO(reply.content)
    return np.asarray(nrrd.read_data(nrrd.read_header(file), file))


def panel_mask(server: Any, series: str, phrase: str) -> np.ndarray:
    """Return the mask of a phrase that a program gets."""
    reply = server.infer("medvlsam2_referring", series, {"prompt": phrase, "result_extension": ".nrrd"}, output="image")
    assert reply.status_code == 200, reply.text
    file = io.BytesIO(reply.content)
    return np.asarray(nrrd.read_data(nrrd.read_header(file), file)) > 0


def assert_no_symmetry(mask: np.ndarray) -> None:
    """The mask would look different if any axis were flipped, so that equality proves the orientation."""
    assert mask.any()
    for axis in range(3):
        assert (mask != np.flip(mask, axis)).any()
