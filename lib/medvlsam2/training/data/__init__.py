"""Data of the training: cached scans, simulated prompts of annotators, and augmentation."""
