"""Crossings between the source grid of a scan and the grids that the model sees, and back."""
