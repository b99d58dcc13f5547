"""SAM 2 for the slices of a volume: trunk, slice memory, mask decoder, and the prompts by words and visual tokens."""
