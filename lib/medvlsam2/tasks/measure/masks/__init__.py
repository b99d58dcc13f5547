"""A mask as it is kept, and what is measured on one mask: volume, diameters, HU, pieces."""
