"""From prompts on a few slices to masks on all slices of a volume."""
