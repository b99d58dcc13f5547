"""What clients and viewers send: strict parsers of single fields, and what OHIF and Slicer need besides."""
