"""Scheduling: the order in which requests use the device, and the cancelling of work that is no longer wanted."""
