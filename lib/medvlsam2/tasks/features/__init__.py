"""What the slice encoder sees of a scan, kept for the requests to come."""
