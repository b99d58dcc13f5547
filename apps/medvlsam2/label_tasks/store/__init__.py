"""The datastore of a local folder, and the routes of every datastore."""
