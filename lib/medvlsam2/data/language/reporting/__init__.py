"""Writer of radiology reports from known facts."""
