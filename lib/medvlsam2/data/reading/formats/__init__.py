"""One reader per file format that is no DICOM; ``data.file_formats`` chooses among them."""
