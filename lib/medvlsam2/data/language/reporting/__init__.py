"""Reports written from known facts."""
