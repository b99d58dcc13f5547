"""Cache of the slice encoder's features of a scan, and their computation ahead of requests."""
