"""Evaluation of a model on scans with ground truth: measurements, confidence intervals, tables and plots."""
