"""The parts of the MedVL-SAM2 model and their assembly; only ``builders`` sets sizes."""
