"""Checks of every request (who asks, from where, how large) and of what a reply may tell."""
