"""One model on one device, shared by all requests, and what the server remembers of each scan."""
