"""Propagation: masks on all slices of a volume from prompts on a few slices, or from words alone."""
