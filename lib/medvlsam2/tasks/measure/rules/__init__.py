"""Findings that measuring proves: one YAML table of thresholds with their sources, and the code that measures."""
