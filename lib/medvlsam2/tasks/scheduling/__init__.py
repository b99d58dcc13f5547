"""Who uses the device next, and which work is no longer wanted."""
