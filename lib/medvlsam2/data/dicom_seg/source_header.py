"""Patient and study attributes that a SEG copies from the scan; no other attribute of the patient is copied."""

from __future__ import annotations

from typing import Final

from pydicom import config
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import TEXT_VR_DELIMS

_REQUIRED: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
"""Attributes that DICOM requires, if necessary with an empty value (type 2)."""
_OPTIONAL: Final = (
    "IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription", "PatientAge",
    "PatientSize", "PatientWeight", "LongitudinalTemporalInformationModified", "BodyPartExamined",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
)  # fmt: skip
"""Attributes that are copied if the scan has them, so that a de-identified study or a trial study remains one."""


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Copy the patient and study attributes of a data set to a new data set; absent required attributes stay empty."""
    for keyword in _REQUIRED:
        element = _copied(source, keyword)
        if element is None:
            setattr(target, keyword, "")
        else:
            target.add(element)
    for keyword in _OPTIONAL:
        element = _copied(source, keyword)
        if element is not None and not element.is_empty:
            target.add(element)


def _copied(source: Dataset, keyword: str) -> DataElement | None:
    """Return the element with its text decoded, because the SEG has another character set than the scan.

    A value that violates its VR is copied without validation: pydicom's warning would show the value, which belongs to
    the patient. A value that cannot be written at all is left out.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in source:
        return None
    raw = source.get_item(tag)
    if isinstance(raw, RawDataElement):
        encodings = convert_encodings(source.get("SpecificCharacterSet"))
        text = decode_bytes(raw.value or b"", encodings, TEXT_VR_DELIMS)
    else:
        text = "\\".join(map(str, raw.value)) if raw.VM > 1 else str(raw.value or "")
    try:
        return DataElement(tag, dictionary_VR(tag), text.rstrip("\0 "), validation_mode=config.IGNORE)
    except (ValueError, OverflowError):
        return None
