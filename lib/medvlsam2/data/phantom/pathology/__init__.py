"""Findings of the phantom: which, where, and how they look."""
