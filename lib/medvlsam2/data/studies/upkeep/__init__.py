"""What keeps a studies folder whole, and what tells how it is."""
