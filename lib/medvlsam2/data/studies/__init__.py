"""A studies folder on disk: its index, its labels with every earlier version, and the lock that servers share.

Nothing here knows the host; the server, the export and ``doctor`` all read a folder through these files.
"""
