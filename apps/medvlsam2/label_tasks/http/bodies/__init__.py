"""Bodies of requests: JSON and forms, read within limits."""
