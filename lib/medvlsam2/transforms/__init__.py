"""Conversions between the source grid of a scan and the model's grids: voxels, clicks, boxes, slices and masks."""
