"""Viewers show only a segment's label of 64 characters, so two different names never get the same label."""

from __future__ import annotations

import pytest
from pydicom.valuerep import PersonName

from medvlsam2.data.dicom_seg import read_seg, write_seg
from medvlsam2.data.dicom_seg.text import long_string
from medvlsam2.data.label_maps import LabelMap

LONG = "the part of the structure that the second reader has outlined anew on this morning"


@pytest.mark.parametrize(
    ("names", "ends"),
    [
        ((f"{LONG}, left", f"{LONG}, right", "liver"), (", left", ", right", "liver")),
        ((f"left {LONG}", f"right {LONG}", "liver"), (LONG[-20:], LONG[-20:], "liver")),
        ((f"{LONG} A {LONG}", f"{LONG} B {LONG}", f"{LONG} C {LONG}"), (LONG[-20:], " (2)", " (3)")),
        (("a\\b", "a/b", "a / b"), ("a/b", "a/b (2)", "a / b")),
        (("cyst (2)", "cyst", "x" * 64), ("cyst (2)", "cyst", "x" * 64)),
    ],
)
def test_different_names_have_different_labels(axial, names, ends):
    label = LabelMap(axial.label.values, axial.label.affine, dict(zip((3, 5, 7), names, strict=True)))
    seg = write_seg(axial.folder, label)
    labels = [str(item.SegmentLabel) for item in seg.SegmentSequence]
    assert len(set(labels)) == 3
    assert max(map(len, labels)) <= 64
    assert all(text.endswith(end) for text, end in zip(labels, ends, strict=True)), labels
    read = read_seg(seg, axial.shape_ijk, axial.label.affine)
    assert tuple(facts.name for facts in read.segments) == names, "whole names come back"


def test_a_name_that_an_older_version_has_cut_comes_back_whole(axial):
    label = LabelMap(axial.label.values, axial.label.affine, {3: f"{LONG}, left", 5: "Läsion übér 肝臓", 7: "liver"})
    seg = write_seg(axial.folder, label)
    seg.SegmentSequence[0].SegmentLabel = long_string(f"{LONG}, left")
    read = read_seg(seg, axial.shape_ijk, axial.label.affine)
    assert [facts.name for facts in read.segments] == list(label.names.values())
    seg.SegmentSequence[0].SegmentLabel = "somebody's own"
    read = read_seg(seg, axial.shape_ijk, axial.label.affine)
    assert read.segments[0].name == "somebody's own", "who renames a segment changes the label"


@pytest.mark.parametrize("annotator", ["a^b^c^d^e^f^g=h\\i", "Müller^Jörg^^^" * 6, "^" * 70, "=\\^", "名前" * 40])
def test_an_annotator_is_a_name_that_dicom_allows(axial, annotator):
    seg = write_seg(axial.folder, axial.label, annotator=annotator)
    name = seg.ContentCreatorName
    assert isinstance(name, PersonName)
    assert str(name).count("^") <= 4
    assert not set("=\\") & set(str(name))
    assert len(str(name)) <= 64
    assert len(seg.SeriesDescription) <= 64
    assert "\\" not in seg.SeriesDescription
