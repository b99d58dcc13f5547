"""Maintenance of a studies folder: repair of its index and files, and a check of its state for ``doctor``."""
