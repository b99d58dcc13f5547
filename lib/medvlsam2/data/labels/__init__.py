"""Submitted labels: their meaning, their placement on the scan's grid, and the label that is stored.

Import each module by its own name; this file re-exports nothing.
"""
