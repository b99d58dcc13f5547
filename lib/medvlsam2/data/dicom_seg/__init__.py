"""DICOM SEG: labels as a PACS keeps them, written by us and read from anybody.

Only pydicom and highdicom are used here; storing and fetching is the app's.
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
