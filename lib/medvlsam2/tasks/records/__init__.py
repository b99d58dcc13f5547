"""What an answer is in JSON, the same over HTTP and on the command line."""
