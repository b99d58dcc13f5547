"""The place of a scan's voxels as its file describes it, so that masks can be written with the same description."""
