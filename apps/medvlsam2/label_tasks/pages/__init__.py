"""What a browser sees of the server: the start page, the API's page, the log, and small pictures of the studies.

Everything comes from files of ours or of installed packages; no page asks any other address.
"""
