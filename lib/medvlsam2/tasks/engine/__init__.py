"""The engine: one model on one device that all requests share, and a session with the cached data of each scan."""
