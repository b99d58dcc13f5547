"""Where the voxels of a scan lie, as its file says it."""
