"""A studies folder on disk: its index, its labels with all earlier versions, and the lock that servers share.

No module here uses MONAI Label. The server, the export and ``doctor`` all access a studies folder through this package.
"""
