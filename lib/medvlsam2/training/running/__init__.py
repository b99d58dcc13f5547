"""A run of the training: its folder, its figures, its processes."""
