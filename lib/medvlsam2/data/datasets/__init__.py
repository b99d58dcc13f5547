"""Data sets of many scans: known folder layouts, manifests for training, and the export of submitted labels."""
