"""DICOM SEG, the form in which a PACS keeps labels: a writer, and a reader for the SEGs of any program.

This folder uses pydicom and highdicom alone. The app stores SEGs in a PACS and fetches them.
"""

from medvlsam2.data.dicom_seg.host_files import written_by_host
from medvlsam2.data.dicom_seg.reader import ReadSeg, SegmentFacts, read_seg
from medvlsam2.data.dicom_seg.segments import AlgorithmType, Origin
from medvlsam2.data.dicom_seg.writer import current, predecessor_uid, write_seg

__all__ = [
    "AlgorithmType",
    "Origin",
    "ReadSeg",
    "SegmentFacts",
    "current",
    "predecessor_uid",
    "read_seg",
    "write_seg",
    "written_by_host",
]
