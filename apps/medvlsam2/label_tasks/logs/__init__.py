"""The log of the server: where it is kept, and what of it is shown."""
