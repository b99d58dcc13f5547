"""Training of the model: samples, losses, steps, the loop over stages, fine-tuning and calibration."""
