"""Fitting the model: samples, losses, one step, the loop over stages."""
