"""What masks measure: volumes, diameters and findings by name."""
