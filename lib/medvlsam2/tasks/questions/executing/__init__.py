"""Execution of queries: facts and masks of a scan in, typed results out."""
