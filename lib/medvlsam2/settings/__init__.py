"""Settings of a server: the record of all of them, where they are read from, and how they are shown."""
