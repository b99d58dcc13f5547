"""The table of structures: names, synonyms, DICOM codes and colours."""
