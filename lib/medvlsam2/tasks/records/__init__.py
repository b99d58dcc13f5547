"""The JSON record of an answer, which is the same over HTTP and on the command line, and its schema."""
