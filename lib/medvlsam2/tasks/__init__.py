"""Tasks of the model (segment, report, answer, score a scan) as functions over an ``Engine``."""
