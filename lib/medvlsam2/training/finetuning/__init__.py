"""Fine-tuning on submitted labels: its scans, its steps, the gate before a publication, and the whole run."""
