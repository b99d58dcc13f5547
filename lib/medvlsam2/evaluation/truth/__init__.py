"""What is true of a scan, found again with plain numpy: the measuring code that is evaluated is not asked."""
