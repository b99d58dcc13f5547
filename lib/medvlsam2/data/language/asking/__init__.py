"""Questions about scans, with answers that follow from known facts."""
