"""Masks from the prompts of one request, and their correction so that they agree with every click."""
