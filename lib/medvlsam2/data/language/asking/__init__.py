"""Questions about scans, with the answers that facts prove."""
