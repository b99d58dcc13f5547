"""Training, batch inference and scoring: what a request may ask for, and the process that does it."""
