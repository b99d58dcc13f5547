"""Findings of the phantom: their choice, their places and their appearance."""
