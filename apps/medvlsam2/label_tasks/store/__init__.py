"""The datastore of a local folder: its scans, its labels, and the archive of all of them."""
