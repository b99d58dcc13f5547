"""The description of each segment in a SEG, and the labels that are refused because they cannot be described."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.dicom_seg import Origin, current, predecessor_uid, read_seg, write_seg
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
    """All structures go into one SEG with one voxel each; no code, name or colour breaks its DICOM format."""
    names = dict(enumerate(vocabulary.names(), start=1))
    values = np.zeros(axial.shape_ijk, np.uint16)
    values.ravel()[: len(names)] = list(names)
    seg = stored(write_seg(axial.folder, LabelMap(values, axial.label.affine, names)))
    back = read_seg(seg, axial.shape_ijk, axial.label.affine)
    assert back.label_map.names == names
    np.testing.assert_array_equal(back.label_map.values, values)
    assert [one.key for one in back.segments] == list(vocabulary.STRUCTURES)
    assert [one.color_rgb for one in back.segments] == [one.color_rgb for one in vocabulary.STRUCTURES.values()]


def test_origins_are_written_and_a_drawing_names_no_model(axial):
    _, item = one_segment(axial, "liver", origins={40: Origin("SEMIAUTOMATIC", "medvlsam2-nano", "v0007")})
    assert (item.SegmentAlgorithmType, item.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "medvlsam2-nano")
    (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("medvlsam2-nano", "v0007")
    _, item = one_segment(axial, "liver")
    assert item.SegmentAlgorithmType == "MANUAL"
    assert "SegmentAlgorithmName" not in item


@pytest.mark.parametrize("origin", [("AUTOMATIC",), ("SEMIAUTOMATIC", "nano"), ("AUTOMATIC", "", "v1")])
def test_an_origin_without_a_model_or_version_is_refused(origin):
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


def test_two_segments_with_the_same_name_stay_apart_and_differ_in_colour(axial):
    names = {3: "liver", 5: "liver", 7: "my lesion"}
    seg = stored(write_seg(axial.folder, LabelMap(axial.label.values, axial.label.affine, names)))
    colors = [tuple(item.RecommendedDisplayCIELabValue) for item in seg.SegmentSequence]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "liver", "my lesion"]
    assert len(set(colors)) == 3


def test_a_value_without_a_name_and_an_empty_label_are_refused(axial):
    with pytest.raises(DatasetError, match=r"\[3, 5, 7\], but \[5, 7\] have no name"):
        write_seg(axial.folder, LabelMap(axial.label.values, axial.label.affine, {3: "liver", 5: "  "}))
    empty = np.zeros(axial.shape_ijk, np.uint16)
    with pytest.raises(DatasetError, match="no voxels"):
        write_seg(axial.folder, LabelMap(empty, axial.label.affine, {1: "liver"}))


def test_the_series_description_names_tag_and_annotator(axial):
    seg = stored(write_seg(axial.folder, axial.label, tag="final", annotator="ann"))
    assert (seg.SeriesDescription, seg.ContentLabel, seg.ContentCreatorName) == ("final by ann", "FINAL", "ann")
    assert (seg.Modality, seg.InstanceNumber, seg.SeriesNumber) == ("SEG", 1, 300)
    assert "PredecessorDocumentsSequence" not in seg
    assert stored(write_seg(axial.folder, axial.label, tag="second reading")).SeriesDescription == "second reading"


def test_a_revision_names_its_predecessor_and_is_a_series_of_its_own(axial):
    """OHIF in MONAI Label's wheel shows the first instance of a SEG series, so a revision needs a series of its own."""
    first = stored(write_seg(axial.folder, axial.label, annotator="ann"))
    second = stored(write_seg(axial.folder, axial.label, annotator="ann", replaces=first))
    third = stored(write_seg(axial.folder, axial.label, annotator="b" * 80, replaces=second))
    revisions = [first, second, third]
    assert len({seg.SOPInstanceUID for seg in revisions}) == len({seg.SeriesInstanceUID for seg in revisions}) == 3
    assert {seg.StudyInstanceUID for seg in revisions} == {first.StudyInstanceUID}
    assert [(seg.InstanceNumber, seg.SeriesNumber) for seg in revisions] == [(1, 300), (2, 301), (3, 302)]
    assert second.SeriesDescription == "final by ann, revision 2"
    assert third.SeriesDescription.endswith("b…, revision 3")
    assert len(third.SeriesDescription) == 64
    (study,) = third.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (second.StudyInstanceUID, second.SeriesInstanceUID)
    assert instance.ReferencedSOPInstanceUID == second.SOPInstanceUID
    assert [predecessor_uid(seg) for seg in revisions] == [None, first.SOPInstanceUID, second.SOPInstanceUID]
    other = stored(write_seg(axial.folder, axial.label, annotator="bob"))
    assert current([third, first, other, second]) == [third, other]
