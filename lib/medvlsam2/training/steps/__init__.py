"""Kinds of training step: what each draws from the data, and which losses it computes."""
