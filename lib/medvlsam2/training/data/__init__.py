"""What training draws from: cached scans, prompts as annotators give them, and augmentation."""
