"""SAM 2 for the slices of a volume, and what a text token adds to it."""
