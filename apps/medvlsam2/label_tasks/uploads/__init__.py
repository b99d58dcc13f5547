"""Files that clients send: they are kept in private folders, unpacked within limits, and removed afterwards."""
