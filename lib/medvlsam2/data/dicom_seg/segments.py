"""Items of a SEG's Segment Sequence: name, code, side, colour and origin of each segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as DicomCode

from medvlsam2.data import colours, vocabulary
from medvlsam2.data.dicom_seg import text
from medvlsam2.data.vocabulary import Code, Structure
from medvlsam2.errors import DatasetError

AlgorithmType = Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]
"""DICOM's Segment Algorithm Type (0062,0008): drawn by hand, drawn with a model's help, or made by a model alone."""

_TISSUE: Final = Code("85756007", "Tissue")
"""Category and type for a name that the vocabulary does not know. "Tissue" claims nothing; Slicer writes the same."""
_ARTIFICIAL_INTELLIGENCE: Final = DicomCode("123110", "DCM", "Artificial Intelligence")
"""Family of the algorithm, from DICOM's CID 7162."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of one label: an annotator, a model or both.

    Args:
        algorithm: drawn by hand, drawn with a model's help, or made by a model alone.
        model: name of the model; needed unless the label is MANUAL.
        version: version of the model; needed unless the label is MANUAL.

    Raises:
        DatasetError: if a model or version is needed and absent.

    Example:
        >>> Origin("AUTOMATIC", "medvlsam2-nano", "v0003").algorithm
        'AUTOMATIC'
    """

    algorithm: AlgorithmType = "MANUAL"
    model: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        if self.algorithm != "MANUAL" and not (self.model.strip() and self.version.strip()):
            raise DatasetError(
                f"A label of type {self.algorithm} has the model '{self.model}' and the version '{self.version}'; "
                "DICOM needs both. Give them, or use the type MANUAL if no model was used."
            )


def segment_item(number: int, name: str, label: str, origin: Origin, color_rgb: tuple[int, int, int]) -> Dataset:
    """Return one item of the Segment Sequence (0062,0002).

    Args:
        number: segment number; DICOM requires numbers from 1 without a gap.
        name: the name as the annotator wrote it.
        label: the name in the form that the field Segment Label can hold.
        origin: origin of the label.
        color_rgb: display colour, 0 to 255.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    structure = vocabulary.lookup(name)
    algorithm = None
    if origin.algorithm != "MANUAL":
        algorithm = AlgorithmIdentificationSequence(
            name=text.long_string(origin.model),
            family=_ARTIFICIAL_INTELLIGENCE,
            version=text.long_string(origin.version),
        )
    item: Dataset = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=_dicom(structure.category if structure else _TISSUE),
        segmented_property_type=_dicom(structure.snomed if structure else _TISSUE),
        algorithm_type=origin.algorithm,
        algorithm_identification=algorithm,
    )
    item.SegmentDescription = text.short_text(name)
    item.RecommendedDisplayCIELabValue = list(colours.dicom_cielab(color_rgb))
    if structure:
        _add_side_and_region(item, structure)
    return item


def _add_side_and_region(item: Dataset, structure: Structure) -> None:
    if structure.laterality:
        property_type = item.SegmentedPropertyTypeCodeSequence[0]
        property_type.SegmentedPropertyTypeModifierCodeSequence = [code_item(structure.laterality)]
    if structure.site:
        site = vocabulary.STRUCTURES[structure.site]
        region = code_item(site.snomed)
        if site.laterality:
            region.AnatomicRegionModifierSequence = [code_item(site.laterality)]
        item.AnatomicRegionSequence = [region]


def code_item(code: Code) -> Dataset:
    """Return one item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def _dicom(code: Code) -> DicomCode:
    return DicomCode(code.value, code.scheme, code.meaning)
