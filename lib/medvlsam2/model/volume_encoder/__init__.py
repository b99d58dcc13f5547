"""Encoder of a whole scan to image tokens for the language model: 3-D vision transformer and projectors."""
