"""MONAI Label tasks of MedVL-SAM2: thin between the host's dictionaries and ``medvlsam2.tasks``."""
