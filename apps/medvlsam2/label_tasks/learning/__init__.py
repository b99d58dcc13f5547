"""Fine-tuning on submitted labels, and which scan to label next."""
