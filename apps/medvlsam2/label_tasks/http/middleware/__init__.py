"""What every request passes: who asks, from where, how large, and what a reply may tell."""
