"""Pages of the server for a browser: start page, description of the API, log, and small pictures of the studies.

All files of a page come from this project or from installed packages; no page loads anything from another address.
"""
