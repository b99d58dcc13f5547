"""The log of the server: where it is kept, what of it is shown, and how names, ids and paths are left out."""
