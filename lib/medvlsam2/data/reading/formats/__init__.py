"""One reader for each of NIfTI, NRRD and MetaImage; ``file_formats`` chooses the reader by the file's suffix."""
