"""The parts of MedVL-SAM2 and their assembly; sizes live in ``builders`` alone."""
