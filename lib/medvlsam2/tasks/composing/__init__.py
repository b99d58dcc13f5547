"""Phrases of a request that are composed by code: how they are read, found, and brought into the label map."""
