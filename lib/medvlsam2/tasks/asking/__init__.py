"""One request in progress: its client, its progress, and the masks of its objects."""
