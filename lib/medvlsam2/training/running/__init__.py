"""One run of a training: its folder, its measurements and plots, and its processes."""
