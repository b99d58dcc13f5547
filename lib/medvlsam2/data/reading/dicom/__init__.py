"""DICOM files: their data sets, and their pixels as Hounsfield units. Which slices form a volume is decided above."""
