"""What clients send: kept privately, unpacked within limits, removed afterwards."""
