"""The server's own routes and middlewares, one idea per file."""
