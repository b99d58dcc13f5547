"""Grounded reports: the model chooses sentences whose slots code filled, and a reader checks each against the facts."""
