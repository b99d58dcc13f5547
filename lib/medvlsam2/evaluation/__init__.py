"""Evaluation of a model on scans with ground truth: measurements, confidence intervals, tables and plots.

``run`` goes through the ``scans`` and takes all ``measures`` of each; ``measurement`` makes rows of them, and
``output`` writes the files, tables and ``plots``.
"""
