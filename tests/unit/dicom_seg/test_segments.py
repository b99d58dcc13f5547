"""What is said of each segment, and what is refused because it could not be said truly."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.dicom_seg import Origin, read_seg, write_seg
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.errors import DatasetError


def stored(seg):
    file = io.BytesIO()
    pydicom.dcmwrite(file, seg, write_like_original=False)
    file.seek(0)
    return pydicom.dcmread(file)


def one_segment(scan, name, **options):
    values = (scan.label.values == 5).astype(np.uint16) * 40
    seg = stored(write_seg(scan.folder, LabelMap(values, scan.label.affine, {40: name}), **options))
    (item,) = seg.SegmentSequence
    return seg, item


@pytest.mark.parametrize(
    ("name", "type_and_side", "category", "region"),
    [
        ("liver", ("10200004", None), "Anatomical Structure", None),
        ("Lt. kidney", ("64033007", "Left"), "Anatomical Structure", None),
        ("kidney_right", ("64033007", "Right"), "Anatomical Structure", None),
        ("right middle lobe", ("72481006", None), "Anatomical Structure", None),
        ("left atrium", ("82471001", None), "Anatomical Structure", None),
        ("left rib 3", ("25888004", "Left"), "Anatomical Structure", None),
        ("liver cyst", ("367643001", None), "Morphologically Altered Structure", ("10200004", None)),
        ("right kidney cyst", ("367643001", "Right"), "Morphologically Altered Structure", ("64033007", "Right")),
        ("Segment_1", ("85756007", None), "Tissue", None),
        ("odd shadow behind the heart", ("85756007", None), "Tissue", None),
    ],
)
def test_a_name_gets_its_code_and_an_unknown_one_a_code_that_claims_nothing(
    axial, name, type_and_side, category, region
):
    _, item = one_segment(axial, name)
    (kind,) = item.SegmentedPropertyTypeCodeSequence
    assert (item.SegmentLabel, item.SegmentDescription) == (name, name)
    side = next((m.CodeMeaning for m in kind.get("SegmentedPropertyTypeModifierCodeSequence", [])), None)
    assert (kind.CodeValue, side) == type_and_side
    assert kind.CodingSchemeDesignator == "SCT"
    assert item.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == category
    regions = [
        (place.CodeValue, next((m.CodeMeaning for m in place.get("AnatomicRegionModifierSequence", [])), None))
        for place in item.get("AnatomicRegionSequence", [])
    ]
    assert regions == ([region] if region else [])


def test_every_structure_of_the_vocabulary_can_be_written(axial):
    """All of them in one SEG, one voxel each: no code, name or colour breaks its format."""
    names = dict(enumerate(vocabulary.names(), start=1))
    values = np.zeros(axial.shape_ijk, np.uint16)
    values.ravel()[: len(names)] = list(names)
    seg = stored(write_seg(axial.folder, LabelMap(values, axial.label.affine, names)))
    back = read_seg(seg, axial.shape_ijk, axial.label.affine)
    assert back.label_map.names == names
    np.testing.assert_array_equal(back.label_map.values, values)
    assert [one.key for one in back.segments] == list(vocabulary.STRUCTURES)
    assert [one.color_rgb for one in back.segments] == [one.color_rgb for one in vocabulary.STRUCTURES.values()]


def test_origins_are_told_and_nothing_is_claimed_for_a_drawing(axial):
    _, item = one_segment(axial, "liver", origins={40: Origin("SEMIAUTOMATIC", "medvlsam2-nano", "v0007")})
    assert (item.SegmentAlgorithmType, item.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "medvlsam2-nano")
    (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("medvlsam2-nano", "v0007")
    _, item = one_segment(axial, "liver")
    assert item.SegmentAlgorithmType == "MANUAL"
    assert "SegmentAlgorithmName" not in item


@pytest.mark.parametrize("origin", [("AUTOMATIC",), ("SEMIAUTOMATIC", "nano"), ("AUTOMATIC", "", "v1")])
def test_an_origin_that_says_too_little_is_refused(origin):
    with pytest.raises(DatasetError):
        Origin(*origin)


@pytest.mark.parametrize(
    "name",
    [
        "x" * 200,
        "left kidney, lower pole, near the cyst that was described in the report of the first examination",
        "T1\\T2 lesion",
        "Leberläsion 左肝",
        "two\nlines\tand a tab",
        "lone \ud800 surrogate",
        "zero \0 byte",
    ],
)
def test_any_text_fits_into_a_label_and_comes_back(axial, name):
    seg, item = one_segment(axial, name, tag=name[:60], annotator=name)
    assert len(item.SegmentLabel) <= 64
    assert "\\" not in item.SegmentLabel
    assert len(seg.SeriesDescription) <= 64
    assert len(seg.ContentCreatorName) <= 64
    plain = " ".join(name.encode("utf-8", "replace").decode().replace("\0", " ").split())
    assert read_seg(seg, axial.shape_ijk, axial.label.affine).segments[0].name == plain


def test_two_segments_of_one_name_stay_two_of_two_colours(axial):
    names = {3: "liver", 5: "liver", 7: "my lesion"}
    seg = stored(write_seg(axial.folder, LabelMap(axial.label.values, axial.label.affine, names)))
    colors = [tuple(item.RecommendedDisplayCIELabValue) for item in seg.SegmentSequence]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "liver", "my lesion"]
    assert len(set(colors)) == 3


def test_a_value_without_a_name_and_an_empty_label_are_refused(axial):
    with pytest.raises(DatasetError, match=r"\[3, 5, 7\], and \[5, 7\] have no name"):
        write_seg(axial.folder, LabelMap(axial.label.values, axial.label.affine, {3: "liver", 5: "  "}))
    empty = np.zeros(axial.shape_ijk, np.uint16)
    with pytest.raises(DatasetError, match="no voxels"):
        write_seg(axial.folder, LabelMap(empty, axial.label.affine, {1: "liver"}))


def test_series_say_tag_and_annotator(axial):
    seg = stored(write_seg(axial.folder, axial.label, tag="final", annotator="ann"))
    assert (seg.SeriesDescription, seg.ContentLabel, seg.ContentCreatorName) == ("final by ann", "FINAL", "ann")
    assert (seg.Modality, seg.InstanceNumber, seg.SeriesNumber) == ("SEG", 1, 300)
    assert "PredecessorDocumentsSequence" not in seg
    assert stored(write_seg(axial.folder, axial.label, tag="second reading")).SeriesDescription == "second reading"


def test_a_revision_joins_the_series_of_its_predecessor_and_names_it(axial):
    first = stored(write_seg(axial.folder, axial.label, annotator="ann"))
    second = stored(write_seg(axial.folder, axial.label, annotator="ann", replaces=first))
    third = stored(write_seg(axial.folder, axial.label, annotator="ann", replaces=second))
    series = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime", "StudyInstanceUID")
    assert [second.get(keyword) for keyword in series] == [first.get(keyword) for keyword in series]
    assert len({first.SOPInstanceUID, second.SOPInstanceUID, third.SOPInstanceUID}) == 3
    assert (first.InstanceNumber, second.InstanceNumber, third.InstanceNumber) == (1, 2, 3)
    (study,) = third.PredecessorDocumentsSequence
    (old_series,) = study.ReferencedSeriesSequence
    (instance,) = old_series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, old_series.SeriesInstanceUID) == (second.StudyInstanceUID, first.SeriesInstanceUID)
    assert instance.ReferencedSOPInstanceUID == second.SOPInstanceUID


def test_a_revision_by_somebody_else_is_a_series_of_its_own(axial):
    """A series has one description, and that says who drew it."""
    first = stored(write_seg(axial.folder, axial.label, annotator="ann"))
    second = stored(write_seg(axial.folder, axial.label, annotator="bob", replaces=first))
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.InstanceNumber == 1
    instance = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert instance.ReferencedSOPInstanceUID == first.SOPInstanceUID
