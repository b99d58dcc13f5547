"""What a phrase binds: how many objects it names, on which side, and in which organ."""
