"""From a whole scan to image tokens: the 3-D vision transformer and its projectors."""
