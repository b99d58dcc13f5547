"""Measurements of masks: volumes, diameters, and findings by name."""
