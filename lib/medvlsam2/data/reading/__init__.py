"""What comes before and around the readers of single formats: names, kinds, causes of failure, memory, sizes."""
